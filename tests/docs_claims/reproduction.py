"""docs/reproduction.md: the rules are the judges' constants, the time that of its tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hwsim.studies.papers import faults, fig3, fig4, fig7, slides_table, tau_sweep
from tests.docs_claims.page import Page
from tests.docs_claims.rendered import study, verdict


def _claims() -> Iterator[str]:
    (near,) = {study.NEAR for study in (fig4, slides_table, tau_sweep)}
    yield (
        f"within {100 * near:g} points (accuracy: {100 * fig3.NEAR:g}; shares of gradients: "
        f"{100 * fig7.NEAR:g})"
    )
    before, after = (
        verdict("fig10a", f"mean success at τ = {tau} ")["paper"].split(", ")[0]
        for tau in ("0", "0.1")
    )
    yield f"The mechanism of {before} → {after}"
    yield f"a dense network answers at most {100 * faults.STOP:g}% of CIFAR-10"
    yield from _flips()
    seconds = sum(
        int(n.replace(",", ""))
        for n in re.findall(r"computed in ([\d,]+) s of one process", PAGE.text)
    )
    longest = re.search(r"`hwsim study safecompress` \(full, computed in ([\d,]+) s", PAGE.text)
    assert longest is not None
    yield (
        f"The tables here took {seconds / 60:.0f} minutes of one process, `safecompress` "
        f"{int(longest[1].replace(',', '')) / 60:.0f} of them"
    )


def flips(network: str, memory: str = "weights", to: str = "11%") -> str:
    """Mean flips at 8 bits, from the study's table."""
    where = {"network": network, "machine": "8-bit", "memory": memory}
    return study("faults", **where)[f"flips to {to}"].split(" (")[0]


def _flips() -> Iterator[str]:
    yield (
        f"behind {flips('ResNet-20, 1/16')} flipped weight bits in the mean, the dense one behind "
        f"{flips('ResNet-20, 1')}"
    )
    yield (
        f"images are lost behind {flips('MNIST, 1/64', to='50%')} flips at 1/64 and behind "
        f"{flips('MNIST, 1', to='50%')} uncompressed"
    )
    yield f"falls behind {flips('ResNet-20, 1/16', 'index')} flipped index bits"


PAGE = Page(
    "docs/reproduction.md",
    _claims,
    fixed={
        "the 95% interval of the difference": "the method's level",
        '"accuracy falls by at most 1 point"': "an example of a sentence",
        "an adaptive 100% there says nothing": "every image",
        "About 3 GB for each process are enough": "a round bound; the example asks for it",
    },
    history={"the others take about 4 hours, estimated from them": "make paper QUICK=1"},
)
