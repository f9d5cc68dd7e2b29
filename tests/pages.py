"""The pages that a reader follows command by command, and which of their commands run where."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs/tutorial.md"
HOW_TOS = sorted((ROOT / "docs/howto").glob("*.md"))
#: Commands of these pages that no test runs as they are -> why not.
NOT_HERE = {
    "make test": "runs these tests",
    "make paper QUICK=1": "computes for minutes; tests/cli/test_study.py runs studies",
    "make synth": "Yosys takes minutes; tests/unit/test_synthesis.py, tests/rtl/test_synthesis.py",
    "make pnr": "routes for ten minutes; tests/unit/test_synthesis.py",
    ". .venv/bin/activate": "the tests run in an environment of their own",
    "pip install -c constraints.txt -e '.[rtl]'": "the Makefile installs the same",
}


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page, without the fences."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines(block: str) -> list[str]:
    """Commands of a shell block, without their comments."""
    found = [re.split(r"\s+#", line)[0].strip() for line in block.splitlines()]
    return [line for line in found if line]


def commands(page: Path) -> list[str]:
    """All of a page, in order."""
    return [line for block in blocks(page, "sh") for line in lines(block)]


def make_commands() -> list[str]:
    """Those of all pages that run in a clone, each once."""
    every = [line for page in (README, TUTORIAL, *HOW_TOS) for line in commands(page)]
    return sorted({c for c in every if c.startswith("make ") and c not in NOT_HERE})
