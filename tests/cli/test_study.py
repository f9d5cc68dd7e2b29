"""`hwsim study`: what it prints and leaves, what it says of missing networks and of bad input."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.models.datasets.dataset import NoDataError
from hwsim.models.zoo import RECIPES
from hwsim.studies import study
from hwsim.studies.grid import attack_rows as measures
from hwsim.studies.grid.plan import Plan
from hwsim.studies.index import STUDIES
from hwsim.studies.output import check_docs
from hwsim.studies.runner import executors, runner
from hwsim.studies.runner.execute import execute
from hwsim.studies.runner.machines import Subject, digests, place, program
from hwsim.studies.runner.task import Task
from tests.cli.conftest import HASHED, Run, read
from tests.cli.test_results import ENTRY
from tests.unit.test_studies_runner import until


@pytest.fixture(autouse=True)
def _only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the zoo only one network is there."""
    monkeypatch.setattr(study, "place", lambda n: place(n) if n == HASHED else None)


@pytest.mark.slow
def test_a_study_runs_on_what_is_there_and_names_what_is_not(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ("study", "fig4", "--quick", "--samples", "10")
    code, out, err = run(*typed, "--csv", "rows.csv", "--json", "a/b.json")
    assert (code, err) == (0, "")
    assert "missing: mnist-cnn-h64; make it with: hwsim train mnist-cnn-h64" in out
    assert "not tested: every HashNet is fooled less often than the uncompressed network" in out
    assert all(len(line) <= 100 for line in out.splitlines())
    folder = Path("runs/studies/fig4")
    result = read(folder / "result.json")
    assert list(result["missing"]) == [
        "mnist-cnn",
        "mnist-cnn-h8",
        "mnist-cnn-h32",
        "mnist-cnn-h64",
    ]
    assert list(result["networks"]) == [HASHED]
    assert len(result["rows"]) == 5
    assert {len(row) for row in result["rows"]} == {len(result["heads"])}
    with Path("rows.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    assert len(records) == 10  # 5 ε on 2 machines
    for record in records:
        shares = [float(record[key]) for key in ("success", "algorithm1", "adaptive")]
        assert all(0 <= value <= 1 for value in shares)
        assert float(record["adaptive"]) >= float(record["success"])
    assert read(Path("a/b.json")) == result
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "hwsim train mnist-cnn-h64" in page
    assert page.count("data:image/png") == 1
    assert (folder / "result.png").read_bytes().startswith(b"\x89PNG")

    monkeypatch.setattr(runner, "execute", lambda text: pytest.fail("computed again"))
    again = run(*typed)
    assert again.out == out
    assert read(folder / "result.json")["rows"] == result["rows"]


@pytest.mark.slow
def test_parquet_holds_the_records(run: Run) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run("study", "fig6", "--parquet", "a.parquet").code == 0
    table = parquet.read_table("a.parquet").to_pylist()
    assert table == read(Path("runs/studies/fig6/result.json"))["records"]


def test_a_study_without_any_of_its_networks_says_so(run: Run) -> None:
    code, out, _ = run("study", "table2")
    assert code == 0
    assert "missing: c0; make it with: hwsim train c0" in out
    assert "missing: c0-p7; a clone has it" in out
    assert ";\n  or make it with: hwsim prune c0 --to 7\n" in out
    assert read(Path("runs/studies/table2/result.json"))["rows"] == []


@pytest.mark.slow
def test_tables_go_into_a_document(run: Run) -> None:
    paper = Path("paper.md")
    paper.write_text("# T\n<!-- storage: begin -->\nsuperseded\n<!-- storage: end -->\nafter\n")
    assert run("study", "storage", "--docs", "paper.md").code == 0
    text = paper.read_text(encoding="utf-8")
    assert "| 1/16 | 8-bit | 20 |" in text
    assert "superseded" not in text
    assert text.startswith("# T\n")
    assert text.endswith("after\n")
    assert "no place for the study" in run("study", "fig3", "--docs", "paper.md").line

    paper.write_text(f"{text}<!-- storage-few: begin -->\n<!-- storage-few: end -->\n")
    few = ("study", "storage", "--networks", HASHED, "--docs", "paper.md", "--place")
    assert run(*few, "storage-few").code == 0
    both = paper.read_text(encoding="utf-8")
    assert both.startswith(text), "the other table is as it was"
    assert f"`hwsim study storage --networks {HASHED}`" in both
    assert "](img/study-storage-few.png)" in both
    assert Path("img/study-storage-few.png").stat().st_size > 1000


def test_places_that_are_none_are_refused(run: Run) -> None:
    paper = Path("paper.md")
    paper.write_text("<!-- storage: begin -->\nas it was\n<!-- storage: end -->\n")
    typed = ("study", "storage", "--docs", "paper.md", "--place")
    assert "between <!-- other: begin -->" in run(*typed, "other").line
    assert "small letters, digits and dashes" in run(*typed, "../other").line
    assert "for one study" in run("study", "storage", "--place", "storage").line
    assert "for one study" in run("study", "all", *typed[2:], "storage").line
    assert "as it was" in paper.read_text(encoding="utf-8")


def test_wrong_data_are_an_error_and_missing_data_leave_a_document_as_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = Path("paper.md")
    paper.write_text("<!-- fig6: begin -->\nas it was\n<!-- fig6: end -->\n")
    typed = ("study", "fig6", "--docs", "paper.md")
    monkeypatch.setenv("HWSIM_DATA", "nowhere")
    assert "HWSIM_DATA: there is no folder nowhere" in run(*typed).line

    def absent(*_: object) -> None:
        raise NoDataError("no MNIST data")

    monkeypatch.setattr(study, "dataset", absent)
    code, out, _ = run(*typed)
    assert code == 0
    assert f"missing: {HASHED}; data are missing: no MNIST data" in out
    assert "as it was" in paper.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_network_that_was_trained_otherwise_does_not_stand_in_for_the_papers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", HASHED, "--samples", "16", "--batch", "16", "--epochs", "1").code == 0
    monkeypatch.setattr(study, "place", lambda n: Path("runs/zoo") if n == HASHED else None)
    monkeypatch.setattr(study, "card", lambda n: zoo.card(n, Path("runs/zoo")))
    code, out, _ = run("study", "fig6")
    assert code == 0
    said = (
        f"missing: {HASHED}; runs/zoo/{HASHED} was made with batch 16, not 256; make it anew with"
    )
    assert said in " ".join(out.split())


def test_the_document_of_this_project_has_a_place_for_every_study() -> None:
    path = Path(__file__).parents[2] / "docs/reproduction.md"
    check_docs(path, list(STUDIES))
    assert set(re.findall(r"<!-- (\w+): begin -->", path.read_text("utf-8"))) == set(STUDIES)


def test_list_shows_every_study(run: Run) -> None:
    code, out, _ = run("study", "list")
    assert code == 0
    assert all(name in out for name in STUDIES)


def test_every_study_has_a_grid_for_any_choice_of_its_networks() -> None:
    for entry in STUDIES.values():
        module = entry.module
        assert set(module.NETWORKS) <= set(RECIPES)
        for present in (module.NETWORKS, module.NETWORKS[:1], module.NETWORKS[-1:]):
            points = module.grid(Plan(quick=True), list(present))
            used = {
                str(p["trained"]["spec"] if "trained" in p else p["subject"]["network"])
                for p in (point.parameters for point in points)
            }
            assert used <= set(present)
            assert entry.name.startswith("table") or used == set(present)


@pytest.mark.slow
def test_inhibition_below_half_a_step_leaves_a_layer_as_it_is() -> None:
    plain, tiny = (
        program(Subject(HASHED, "fixed", steps, 4)) for steps in ((), ("inhibition=0.001@all",))
    )
    assert all(
        (a.weights == b.weights).all()
        for a, b in zip(plain.mac_layers, tiny.mac_layers, strict=True)
    )
    moved = program(Subject(HASHED, "fixed", ("inhibition=0.1@last",), 4))
    assert (moved.output.weights != plain.output.weights).any()


@pytest.mark.slow
def test_a_worker_with_other_files_or_other_code_refuses_its_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parameters = {
        "subject": Subject(HASHED, "float").parameters(),
        "samples": 10,
        "part": [0, 1],
    }
    function = "hwsim.studies.grid.attack_rows:accuracy"
    task = Task(function, parameters, digests(function, parameters))
    assert json.loads(execute(task.text()))["images"] == 10
    other = Task(task.function, parameters, {**task.inputs, f"network {HASHED}": "0" * 64})
    with pytest.raises(InputError, match=f"has another network {HASHED}"):
        execute(other.text())
    text = task.text()
    monkeypatch.setattr(measures.accuracy, "version", 99)
    with pytest.raises(InputError, match="version 99 of hwsim"):
        execute(text)


# ---------------------------------------------------------------- bad input


def newer_store() -> None:
    base = sqlite3.connect("rows.sqlite")
    base.execute("PRAGMA application_id=1213089107")
    base.execute("PRAGMA user_version=99")
    base.execute("CREATE TABLE rows (a)")
    base.commit()
    base.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing",), "unknown study 'nothing': choose from all, fig3"),
        (("fig4", "--bits", "3"), "bits: give widths of 4 … 16"),
        (("fig4", "--bits", "x"), "give widths such as 8 or 8,6,4"),
        (("fig4", "--samples", "9999"), "gives 1 to 600"),
        (("fig4", "--config", "none"), "none"),
        (("fig4", "--cluster", "head"), "give tcp://HOST:PORT of a scheduler, or local:N"),
        (("fig4", "--store", "no.sqlite"), "no.sqlite: damaged"),
        (("fig4", "--store", "rows.sqlite"), "written by a newer hwsim"),
        (("fig4", "--out", "no.sqlite/x"), "no.sqlite"),
        (("all", "--csv", "a.csv"), "are for one study"),
        (("fig4", "--docs", "none.md"), "none.md does not exist"),
        (("fig4", "--docs", "binary.md"), "binary.md: not a text file in UTF-8"),
        (("fig4", "--jobs", "2", "--cluster", "local:2"), "leave it out of --cluster"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: tuple[str, ...], says: str) -> None:
    Path("no.sqlite").write_text("no database, but long enough to be taken for one\n" * 40)
    Path("binary.md").write_bytes(b"\xff\xfe\x00")
    newer_store()
    assert says in run("study", *arguments).line


def test_a_scheduler_that_is_not_there_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "PATIENCE", 0.3)
    assert "no scheduler answers" in run("study", "fig4", "--cluster", "tcp://127.0.0.1:9").line


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_is_one_line_and_costs_nothing_but_time(tmp_path: Path, jobs: str) -> None:
    command = [sys.executable, "-c", ENTRY + "main()", "study", "fig10a"]
    command += ["--samples", "300", "--jobs", jobs]
    going = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    store = tmp_path / "runs/studies/rows.sqlite"

    def kept() -> bool:
        assert going.poll() is None, going.communicate()
        if not store.exists():
            return False
        base = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        try:
            return bool(base.execute("SELECT count(*) FROM rows").fetchone()[0])
        except sqlite3.OperationalError:
            return False
        finally:
            base.close()

    until(kept, 300)
    os.kill(going.pid, signal.SIGINT)
    out, err = going.communicate(timeout=60)
    assert (going.returncode, out) == (130, "")
    assert err.splitlines() == [
        "hwsim: interrupted: nothing is half-written; run the same command to go on"
    ]


@pytest.mark.slow
def test_networks_are_those_of_the_study_and_stand_in_its_command(run: Run) -> None:
    assert (
        "study fig3 has no network 'resnet20'"
        in run("study", "fig3", "--networks", "resnet20").line
    )
    assert "leave it out of all" in run("study", "all", "--networks", HASHED).line
    assert "give at least one" in run("study", "fig3", "--networks", ",").line
    typed = ("study", "fig6", "--networks", HASHED, "--json", "found.json")
    assert run(*typed).code == 0
    found = read(Path("found.json"))
    assert list(found["networks"]) == [HASHED]
    assert found["missing"] == {}, "what was not asked for is not missing"
    assert found["only"] == [HASHED]
