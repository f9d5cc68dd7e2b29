"""docs/audit.md and the words in the program are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.audit.flag_texts import FLAGS, Flag

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.key)
def test_every_flag_is_documented_in_the_words_of_the_report(flag: Flag) -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"### {flag.key}: {flag.title}" in text
    for words in (
        f"**Raised if** {flag.raised_if}",
        f"**Meaning.** {flag.meaning}",
        f"**What to do.** {flag.advice}",
    ):
        assert words in text
