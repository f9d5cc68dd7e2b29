"""docs/files.md: other people's files beside their runtimes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.docs_claims.page import Page
from tools.tables import files, measured


def _claims() -> Iterator[str]:
    found = measured.read("resnet-accuracy")
    same = found["equal"]["engine, 31-bit multipliers"]["LiteRT XNNPACK"]
    yield f"{same:,} of {found['images']:,} answers of ResNet-8 are XNNPACK's"
    exact = [run["exact"] == run["compared"] for name, cells in files.rows().items()
             for run in cells["compared-16"]["runtimes"] if "LiteRT" in run["name"]]  # fmt: skip
    yield {True: "every layer of every file bit for bit from what the kernel"}[all(exact)]


PAGE = Page(
    "docs/files.md",
    _claims,
    fixed={
        "each logit to 1% of the largest": "the tolerance of the test that the sentence names",
        "Where fewer than 99.5% of the answers agree": "the goal: tools/tables/files.py",
        "its 0% is no robustness": "of the table above it",
    },
)
