"""An image that a defense rewrote runs on the Verilog as on the oracle, the other memories kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hwsim.commands.rewrite import rewrite
from hwsim.cost.timing import analyze
from hwsim.engine import reference
from hwsim.numbers.config import load_config
from hwsim.rom import image as rom
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.compare import check
from tests.rtl.samples import gradient_image, small_network

pytestmark = pytest.mark.rtl

#: Steps and policy; what each changes beside the weights: nothing, points and biases, both.
REWRITES = [
    (("inhibition=0.1@all",), "saturate"),
    (("inhibition=0.1@all",), "rescale"),
    (("augmentation=4",), "rescale"),
    (("augmentation=3@all",), "rescale"),
    (("pruning=2",), "error"),
    (("pruning=1.5@fc", "inhibition=0.3@conv", "augmentation=2.5"), "rescale"),
]


@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize(("steps", "policy"), REWRITES)
def test_a_rewritten_image_runs_unchanged_on_the_verilog(
    tmp_path: Path, config: str, steps: tuple[str, ...], policy: str
) -> None:
    original = small_network(load_config(config))
    rom.save(original, tmp_path / "a.hne")
    words = [word for step in steps for word in ("--apply", step)]
    typed = [str(tmp_path / "a.hne"), str(tmp_path / "b.hne"), *words, "--on-overflow", policy]
    done = CliRunner().invoke(rewrite, typed, catch_exceptions=False)
    assert done.exit_code == 0
    # Addresses and signs stay: the index, where it is stored at all.
    index = [[p.read_bytes() for p in (tmp_path / name).glob("index.mem")]
             for name in ("a.hne", "b.hne")]  # fmt: skip
    assert index[0] == index[1]
    assert len(index[0]) == (original.config.index_mode == "sram")

    image = rom.load(tmp_path / "b.hne")
    assert [entry["rewrite"] for entry in image.history] == [s.partition("=")[0] for s in steps]
    before = [reference.run(original, gradient_image(seed)).logits for seed in range(3)]
    after = []
    with RtlEngine(image) as engine:
        for seed in range(3):
            pixels = gradient_image(seed)
            run = engine.run(pixels, maps=True)
            check(image, run, reference.run(image, pixels), analyze(image))
            after.append(run.logits.tolist())
    # A power of two changes no word of the weights, and with it no logit; all others do.
    assert (after == before) == (steps == ("augmentation=4",))
