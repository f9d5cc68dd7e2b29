"""Campaigns of random faults: what they draw, when they stop, what a kill leaves of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.faults import inject
from hwsim.faults.draw import MODELS, draw
from hwsim.faults.program_memory import run_program_faults
from hwsim.numbers.config import load_config
from hwsim.rom import image as rom
from hwsim.rom.memfile import MemFile
from hwsim.studies.runner.executors import Inline
from hwsim.studies.runner.store import Store
from hwsim.studies.upsets.campaign import BLOCK, ROUND, CampaignPlan, campaign
from hwsim.studies.upsets.rows import Bench, Target, bench
from tests.images import small_program
from tests.unit.test_studies_runner import rows_in, until

ROOT = Path(__file__).parents[2]
FILE = MemFile("weights.mem", 7, 3, 8)


# ---------------------------------------------------------------- what is drawn


def _drawn(model: str, rate: float = 0.0, exactly: int | None = None, seed: int = 1) -> list[Any]:
    return draw(FILE, model, np.random.default_rng(seed), rate, exactly)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", MODELS)
def test_what_is_drawn_lies_in_the_memory_and_follows_from_the_seed(model: str) -> None:
    found = _drawn(model, exactly=20)
    assert found == _drawn(model, exactly=20)
    assert found != _drawn(model, exactly=20, seed=2)
    assert all(f.line < 7 and f.field < 3 and f.bit < 8 for f in found)


def test_uniform_upsets_are_as_many_as_asked_and_all_bits_at_rate_one() -> None:
    assert len(set(_drawn("uniform", exactly=5))) == 5
    everything = {(f.line, f.field, f.bit) for f in _drawn("uniform", rate=1.0)}
    assert len(everything) == len(_drawn("uniform", exactly=999)) == 7 * 3 * 8


def test_the_number_of_uniform_upsets_is_binomial() -> None:
    counts = [len(_drawn("uniform", rate=0.1, seed=seed)) for seed in range(200)]
    mean = 7 * 3 * 8 * 0.1
    assert abs(np.mean(counts) - mean) < 4 * np.sqrt(mean / 200)


def test_multiple_upsets_are_neighbours_within_a_line() -> None:
    sizes = set()
    for seed in range(60):
        found = sorted(_drawn("mbu", exactly=1, seed=seed))
        places = [f.field * 8 + f.bit for f in found]
        assert {f.line for f in found} == {found[0].line}
        assert places == list(range(places[0], places[0] + len(places)))
        sizes.add(len(places))
    assert sizes >= {2, 3, 4}


def test_stuck_bits_are_stuck_at_either_value() -> None:
    assert {f.kind for f in _drawn("stuck", exactly=40)} == {"stuck-0", "stuck-1"}


# ---------------------------------------------------------------- what is counted


@pytest.fixture
def target(tmp_path: Path) -> Target:
    rom.save(small_program(), tmp_path / "net.hne")
    noise = np.random.default_rng(5)
    x = noise.integers(0, 256, (24, 1, 6, 6)) / 255
    np.savez(tmp_path / "test.npz", x=x.astype(np.float32), y=noise.integers(0, 3, 24))
    return Target(str(tmp_path / "net.hne"), data=str(tmp_path / "test.npz"), images=24)


@pytest.fixture
def ready(target: Target) -> Bench:
    return bench(target.opened(), 24)


def _run(target: Target, ready: Bench, plan: CampaignPlan, store: Path) -> dict[str, Any]:
    with Store(store) as rows:
        return campaign(target, ready, plan, rows, Inline(), 1, lambda *_: None)


def _plan(**changes: Any) -> CampaignPlan:
    fields = dict(memories=("weights",), model="uniform", rates=(), flips=1, trials=16, within=0.0)
    return CampaignPlan(**{**fields, **changes})


def test_a_campaign_counts_what_engines_with_the_faults_answer(
    target: Target, ready: Bench, tmp_path: Path
) -> None:
    plan = _plan(memories=("bias", "index"), flips=3)
    found = _run(target, ready, plan, tmp_path / "rows.sqlite")
    for cell in found["cells"]:
        changed = correct = 0
        for number in range(16):
            file = ready.reader.files[f"{cell['memory']}.mem"]
            faults = draw(file, "uniform", np.random.default_rng([0, number]), 0.0, 3)
            program = inject(ready.trials.program, faults)
            classes = Engine(program).answer(ready.trials.images).argmax(1)
            changed += int((classes != ready.clean).sum())
            correct += int((classes == ready.labels).sum())
        assert cell["trials"] == 16
        assert cell["changed"] == pytest.approx(changed / 16 / 24)
        assert cell["accuracy"] == pytest.approx(correct / 16 / 24)
        assert sum(one["trials"] for one in cell["by_bit"]) >= 16


@pytest.mark.slow
def test_a_cell_stops_where_its_intervals_are_narrow_and_at_its_last_trial_at_the_latest(
    target: Target, ready: Bench, tmp_path: Path
) -> None:
    store = tmp_path / "rows.sqlite"
    plan = _plan(memories=("weights", "scale"), trials=6 * ROUND + 5, within=1.0)
    stopped = _run(target, ready, plan, store)["cells"]
    for cell in stopped:
        low, high = cell["harmful_interval"]
        assert cell["trials"] % ROUND == 0
        assert (high - low) / 2 <= 0.05 or cell["trials"] == plan.trials
    to_the_end = _run(target, ready, _plan(trials=ROUND + 5), store)["cells"]
    assert [cell["trials"] for cell in to_the_end] == [ROUND + 5]


def test_a_fault_of_program_memory_is_caught_or_answered_as_the_machine_would(
    target: Target, ready: Bench, tmp_path: Path
) -> None:
    (cell,) = _run(target, ready, _plan(memories=("program",)), tmp_path / "rows.sqlite")["cells"]
    images = ready.trials.images.transpose(0, 3, 1, 2)
    caught = correct = 0
    for number in range(16):
        file = ready.reader.files["program.mem"]
        faults = draw(file, "uniform", np.random.default_rng([0, number]), 0.0, 1)
        run = run_program_faults(ready.trials.program, faults, images)
        caught += run.logits is None
        if run.logits is not None:
            correct += int((run.logits.argmax(1) == ready.labels).sum())
    assert 0 < caught < 16
    assert cell["caught"] == caught / 16
    assert cell["accuracy"] == pytest.approx(correct / (16 - caught) / 24)


@pytest.mark.parametrize(("ecc", "caught"), [("parity", 1.0), ("secded", 0.0)])
def test_check_bits_stop_or_correct_a_flip_wherever_a_layer_reads_it(
    tmp_path: Path, ecc: str, caught: float
) -> None:
    program = small_program(load_config("tiny").replace(ecc=ecc))
    rom.save(program, tmp_path / "net.hne")
    x = np.random.default_rng(5).integers(0, 256, (8, 1, 6, 6)) / 255
    np.savez(tmp_path / "test.npz", x=x.astype(np.float32), y=np.zeros(8, np.int64))
    target = Target(str(tmp_path / "net.hne"), data=str(tmp_path / "test.npz"), images=8)
    memories = ("index", "scale", "bias", "program")
    plan = _plan(memories=memories)
    found = _run(target, bench(target.opened(), 8), plan, tmp_path / "rows.sqlite")
    for cell in found["cells"]:
        assert cell["caught"] == caught
        assert cell["changed"] == 0
        assert cell["corrected"] == (0 if ecc == "parity" else 16)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(rates=(1.5,), flips=None), "a rate is a probability above 0 and up to 1, not 1.5"),
        (dict(rates=(0.0,), flips=None), "a rate is a probability above 0"),
        (dict(memories=("weight",)), "no memory is called 'weight'"),
        (dict(memories=("lut",)), "no lut memory: none of its layers is a table"),
        (dict(memories=()), "no memory was given to upset"),
        (dict(flips=10**7), r"the weights memory has [\d,]+ bits, not 10,000,000"),
        (dict(model="burst"), "no model of upsets is called 'burst': uniform, mbu, stuck"),
    ],
)
def test_what_cannot_be_drawn_is_refused(ready: Bench, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        _plan(**changes).check(ready)


def test_a_rate_or_memory_named_twice_is_one_cell() -> None:
    plan = _plan(memories=("bias", "bias"), rates=(0.01, 0.01), flips=None)
    assert len(plan.cells) == 1


# ---------------------------------------------------------------- killed


def _typed(target: Target, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "hwsim.cli", "fault", target.model, "--data", str(target.data),
        "--memory", "weights,index", "--trials", "400", "--within", "0",
        "--json", str(folder / "result.json"), *more,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def _cells(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))["cells"]


@pytest.mark.slow
def test_a_killed_campaign_goes_on_and_no_trial_is_lost_or_doubled(
    target: Target, ready: Bench, tmp_path: Path
) -> None:
    store = tmp_path / "runs/faults/rows.sqlite"
    going = _typed(target, tmp_path)
    until(lambda: rows_in(store) >= 3 or going.poll() is not None)
    os.kill(going.pid, signal.SIGKILL)
    assert going.wait() == -signal.SIGKILL
    kept = rows_in(store)
    assert 3 <= kept < 2 * 400 // BLOCK
    assert _typed(target, tmp_path).wait() == 0
    assert rows_in(store) == 2 * 400 // BLOCK
    plan = _plan(memories=("weights", "index"), trials=400)
    assert _cells(tmp_path) == _run(target, ready, plan, tmp_path / "other.sqlite")["cells"]


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_loses_and_doubles_no_trial(
    target: Target, ready: Bench, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    place, store = tmp_path / "scheduler.json", tmp_path / "runs/faults/rows.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(what: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)

    made = [start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(place))]
    try:
        until(lambda: place.exists() and place.stat().st_size > 0)
        options = ("--scheduler-file", str(place), "--no-nanny", "--nthreads", "1")
        made += [start("worker", *options, "--no-dashboard") for _ in range(2)]
        address = json.loads(place.read_text(encoding="utf-8"))["address"]
        made.append(_typed(target, tmp_path, "--cluster", address))
        until(lambda: rows_in(store) >= 3 or made[-1].poll() is not None)
        made[2].kill()
        assert made[2].wait() == -signal.SIGKILL
        assert made[-1].wait() == 0
    finally:
        for process in made:
            process.kill()
            process.wait()
    assert rows_in(store) == 2 * 400 // BLOCK
    plan = _plan(memories=("weights", "index"), trials=400)
    assert _cells(tmp_path) == _run(target, ready, plan, tmp_path / "other.sqlite")["cells"]
