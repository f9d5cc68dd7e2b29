"""docs/faults.md: its tables are put there by the commands that measure."""

from __future__ import annotations

from tests.docs_claims.page import Page

PAGE = Page(
    "docs/faults.md",
    fixed={
        "the 95% interval of its mean accuracy": "the method's level",
        "share of trials that change any answer is ± 5 points": "SHARE of the campaigns",
    },
)
