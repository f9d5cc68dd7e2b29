"""Killed commands, small: what make hostile does at random moments, here at three chosen ones."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hwsim.defenses import retraining
from hwsim.engine.module import Engine
from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.recipe import Recipe
from hwsim.models.specs import SPECS
from hwsim.models.train_network import Data, Places
from hwsim.runs import fixed_accuracy
from hwsim.training.prune import prune_network
from tests.by_hand import mac, net
from tests.fuzz.rounds import Progress
from tests.hostile import clusters, meaning, small_world, victims
from tests.hostile.kills import Counts, Moment, World, case, prepared
from tests.hostile.processes import in_memory
from tests.hostile.victims import VICTIMS, Victim

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A folder in memory, because whole worlds are copied there."""
    with tempfile.TemporaryDirectory(prefix="hwsim-kills-", dir=in_memory()) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def origin(scratch: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            patch.setenv(name, "1")  # of the server that processes are forked from
        yield prepared(scratch)


@pytest.mark.parametrize("victim", VICTIMS, ids=lambda victim: victim.name)
def test_a_killed_command_goes_on_and_ends_as_if_it_had_not_been_killed(
    victim: Victim, scratch: Path, origin: Path
) -> None:
    """Killed between two calls that change files, or where a unit of work begins."""
    world, found = World(victim, scratch / victim.name, origin), Counts()
    edges = world.undisturbed[0].edges
    case(world, [Moment(edge=edges // part) for part in (2, 3, 5)], found)
    assert found.findings == []
    assert found.edges >= 2
    assert found.units > 0
    shutil.rmtree(world.scratch)


def test_work_that_is_forgotten_or_done_twice_and_files_left_over_are_found(
    scratch: Path, origin: Path
) -> None:
    """A command that keeps nothing; one that is said to have kept what it did not; a leftover."""
    (plain,) = [one for one in VICTIMS if one.name == "train"]
    edge = World(plain, scratch / "a", origin).undisturbed[0].edges // 2
    for kept, says in ((lambda _: set(), "lost "), (lambda _: {"killed  5"}, "though kept: ")):
        world = World(dataclasses.replace(plain, kept=kept), scratch / "a", origin)
        found = Counts()
        case(world, [Moment(edge=edge)], found)
        assert any(says in line for line in found.findings), found.findings
    left = meaning.of(scratch / "a/case")
    (scratch / "a/case/out/.killed.json.1-1.part").touch()
    more = meaning.of(scratch / "a/case")
    assert "left over: out/.killed.json" in str(meaning.difference(more, left))


def test_the_epochs_of_a_pruning_round_are_kept_until_the_round_is(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSIM_DATA", str(origin / "data"))
    monkeypatch.setitem(ARCHITECTURES, small_world.NAME, small_world.network)
    monkeypatch.setitem(SPECS, small_world.NAME, small_world.SPEC)
    recipe, places = Recipe(epochs=1, batch=16), Places(tmp_path / "out", tmp_path / "kept")
    start, data = str(origin / victims.NETWORK), Data.load("mnist")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retraining._Keeper, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            prune_network(start, 1.3, recipe, data, places, save_as="p")
    assert [path.stem.partition("-round-")[2] for path in tmp_path.glob("kept/p/*")] == ["1"]
    prune_network(start, 1.3, recipe, data, places, save_as="p")
    assert [path.stem.partition("-round")[2] for path in tmp_path.glob("kept/p/*")] == ["s"]


def test_hits_of_all_widths_are_forgotten_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies between two steps finds all of them or none; what others count stays."""
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))
    monkeypatch.setattr(fixed_accuracy, "BATCH", 4)
    images, labels = np.zeros((8, 1, 2, 2), np.uint8), np.zeros(8, np.int64)
    test = Dataset("mnist", "test", images, labels, "here", "0" * 64, canonical=False)
    engines = [Engine(net(mac((1, 2, 2), [[0] * 4, [n] * 4]))) for n in (0, 1, 2)]
    mine, theirs = fixed_accuracy.KeptHits(test, "a" * 64), fixed_accuracy.KeptHits(test, "a" * 64)
    assert [mine.hits(engine, lambda done: None) for engine in engines[:2]] == [8, 8]
    theirs.hits(engines[2], lambda done: None)
    assert list(mine.counts().values()) == [(8, 8)] * 3
    mine.forget()
    assert len(theirs.counts()) == 1
    theirs.forget()
    assert not mine.path.exists()


def test_what_is_said_leaves_out_seconds_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    means = []
    for seconds, success in ((1.5, 0.5), (2.5, 0.5), (1.5, 0.25)):
        path.write_text(f'{{"seconds": {seconds}, "success": {success}}}')
        means.append(meaning.of(tmp_path))
    assert means[0] == means[1]
    assert meaning.difference(means[2], means[0]) == "another content of a.json"
    assert meaning.timeless("12.5 s, 3 stages") == meaning.timeless("0.1 s, 3 stages")


@pytest.mark.parametrize("subject", [clusters.Workers, clusters.Scheduler])
def test_a_study_survives_the_processes_of_a_cluster(
    subject: type[clusters.Clustered], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "ROWS", 12)
    monkeypatch.setattr(clusters, "KILLS", 2)
    progress = Progress(3)
    subject().round(3, progress)
    assert progress.examples <= 2
