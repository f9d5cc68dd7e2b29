"""`hwsim explore`: designs, their front and files, on few digits and with hardly any effort."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from hwsim.studies.explore import campaign, page
from hwsim.studies.runner import runner
from tests.cli.conftest import HASHED, MODEL, Run, read

#: Two engines, hashed indices, so that only words can be flipped.
TWO = ("--rows", "8,16", "--cols", "4", "--banks", "16", "--bits", "8", "--index", "hash",
       "--skip", "off", "--ecc", "none")  # fmt: skip


@pytest.fixture(autouse=True)
def _hardly_any(monkeypatch: pytest.MonkeyPatch) -> None:
    least = campaign.ExploreEffort(20, 10, 4, 0.1, 2, 1, 1, False)
    monkeypatch.setattr(campaign, "QUICK", least)


def records(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Functions of the tasks that are computed from now on."""
    execute, seen = runner.execute, []

    def watched(text: str) -> str:
        seen.append(json.loads(text)["function"].rpartition(":")[2])
        return execute(text)

    monkeypatch.setattr(runner, "execute", watched)
    return seen


@pytest.mark.slow
def test_designs_share_rows_and_leave_all_their_files(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = counted(monkeypatch)
    files = ("--csv", "a.csv", "--json", "a.json", "--markdown", "a.md")
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("explore", HASHED, "--quick", *TWO, *files)
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines())
    # The reference stores its indices, which can be flipped too.
    shared = {"accuracy": 1, "attack": 2, "cost": 3, "flips": 2}
    assert {name: seen.count(name) for name in {*seen}} == shared
    found, result = records("a.csv"), read(Path("a.json"))
    assert [(one["rows"], one["index"]) for one in found] == [("8", "hash"), ("16", "hash")]
    assert int(found[0]["cycles"].partition(".")[0]) > int(found[1]["cycles"].partition(".")[0])
    assert {one["luts_from"] for one in found} == {"interpolated"}
    assert {one["clock_from"] for one in found} == {"assumed"}
    assert result["counts"]["designs"] == len(result["records"]) == 2
    (answer,) = result["answers"]
    assert answer["verdict"] == "not beaten"  # slower, but for less of everything
    assert answer["counts"]["accuracy"] == {"better": 0, "worse": 0, "equal": 2, "open": 0}
    assert "~" in out
    assert "Yosys mapped" in " ".join(out.split())
    folder = Path("runs/explore")
    assert read(folder / "result.json") == result
    assert (folder / "result.png").read_bytes().startswith(b"\x89PNG")
    assert "**not beaten**" in Path("a.md").read_text(encoding="utf-8")
    if page.have_plotly():
        text = (folder / "designs.html").read_text(encoding="utf-8")
        assert "8b hash" in text
        assert '<script src="http' not in text
    seen.clear()
    # More of the grid computes only what is new: neither attacks nor the engines from before.
    assert run("explore", HASHED, "--quick", *TWO, "--cols", "4,8").code == 0
    assert seen == ["cost", "cost"]
    seen.clear()
    assert (
        run("explore", HASHED, "--quick", *TWO, "--bandwidth", "chip,2", "--csv", "b.csv")[0] == 0
    )
    assert seen == []
    slow = {(one["rows"], one["bandwidth"]): float(one["cycles"]) for one in records("b.csv")}
    assert slow["8", "2.0"] > slow["8", ""]
    # A single axis has a page; of 12 bits no engine was mapped, so there is no axis at all.
    assert run("explore", HASHED, "--quick", *TWO, "--goals", "cycles").code == 0
    line = run("explore", HASHED, "--quick", *TWO, "--bits", "12", "--goals", "luts").line
    assert line.startswith("hwsim: LUTs: not known of all these designs")
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    assert page.REMEDY in run("explore", HASHED, "--quick", *TWO).out


@pytest.mark.slow
def test_proposed_designs_are_of_the_grid_and_the_same_again(run: Run) -> None:
    pytest.importorskip("optuna")
    typed = ("explore", MODEL, "--quick", *TWO, "--cols", "4,8", "--trials", "5")
    assert run(*typed, "--csv", "a.csv").code == 0
    assert run(*typed, "--csv", "b.csv").code == 0
    assert records("a.csv") == records("b.csv")
    assert 1 <= len(records("a.csv")) <= 4


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("mnist-cnn", "resnet20"), "mnist-cnn is of mnist and resnet20 of cifar10"),
        (("nothing",), "unknown model 'nothing'"),
        (("net.onnx",), "unknown model 'net.onnx'"),
        (("--rows", "8,x"), "'8,x': give whole numbers such as 8 or 8,16,32"),
        (("--rows", "32", "--banks", "16"), "is an engine: banks (16) must be at least rows (32)"),
        (("--rows", "0"), "none of"),
        (("--bits", "3"), "give widths of 4 … 16"),
        (("--index", "rom"), "'rom': choose of sram, hash"),
        (("--skip", "yes"), "'yes': choose of off, on"),
        (("--ecc", "crc"), "'crc': choose of none, parity, secded"),
        (("--bandwidth", "0"), "give bytes a cycle from 0.001"),
        (("--bandwidth", "nan"), "give bytes a cycle from 0.001"),
        (("--goals", "speed"), "'speed': choose of cycles, energy"),
        (("--config", "huge"), "choose from tiny, small, default, wide"),
        (("--eps", "0"), "--eps"),
        (("--eps", "nan"), "nan is not a finite number"),
        (("--trials", "0"), "--trials"),
        (("--samples", "601"), "601"),
        (("--docs", "none.md"), "none.md"),
        (("--jobs", "2", "--cluster", "local:2"), "--jobs is for processes of this machine"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(run: Run, typed: tuple[str, ...], said: str) -> None:
    code, out, err = run("explore", "--quick", *typed)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err
    assert not Path("runs/explore").exists()
