"""All pages whose prose has numbers, and those that are measurements as a whole."""

from __future__ import annotations

from tests.docs_claims import (
    attacks,
    audit,
    conclusions,
    detection,
    explore,
    faults,
    files,
    images,
    leak,
    limits,
    membership,
    networks,
    reproduction,
    results,
    timing,
    verilog,
)
from tests.docs_claims.page import Page
from tools.tables.blocks import ROOT

PAGES: dict[str, Page] = {
    page.path: page
    for page in (
        *results.PAGES,
        *limits.PAGES,
        *(
            module.PAGE
            for module in (
                attacks,
                audit,
                conclusions,
                detection,
                explore,
                faults,
                files,
                images,
                leak,
                membership,
                networks,
                reproduction,
                timing,
                verilog,
            )
        ),
    )
}

#: Pages not looked at -> why.
WHOLE: dict[str, str] = {
    "docs/coverage.md": "`make coverage` writes all of it",
    "docs/synthesis.md": "beside its generated tables, a log of what was tried, which says so",
}


def documents() -> list[str]:
    """The pages of the documentation, WHOLE left out."""
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [name for path in paths if (name := path.relative_to(ROOT).as_posix()) not in WHOLE]
