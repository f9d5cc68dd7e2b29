"""`hwsim audit` from the first word typed to the files that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwsim.audit.flag_texts import FLAGS
from tests.cli.conftest import MODEL, Run

FEW = ("--images", "3", "--draws", "4", "--steps", "10", "--eps", "0.3")


@pytest.mark.slow
def test_an_audit_prints_every_flag_and_leaves_three_files(run: Run, place: Path) -> None:
    code, out, err = run("audit", MODEL, *FEW, "--json", "copy.json")
    assert (code, err) == (0, "")
    assert all(flag.key in out for flag in FLAGS)
    assert "worst case" in out
    folder = place / "runs" / f"audit-{MODEL}-default"
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.html", "result.json", "result.png",
    ]  # fmt: skip
    result = json.loads((folder / "result.json").read_text())
    assert result == json.loads((place / "copy.json").read_text())
    assert result["command"] == " ".join(["hwsim", "audit", MODEL, *FEW, "--json", "copy.json"])
    (row,) = result["bottom_line"]
    assert row["epsilon"] == 0.3
    assert row["worst"] >= row["naive"]
