"""The commands that are killed, on the small world: what each computes by unit, and what it keeps.

A unit is the least that a killed command must not have to compute again once it is on the disk.
``watch`` runs in the command's own process and says a unit before it begins; ``kept`` reads from
outside what is on the disk. Batches are made small there, so that there is something to keep.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.hostile.entry import Say, preceded
from tests.hostile.small_world import NAME

#: Images of a batch.
BATCH = 4
NETWORK = f"runs/zoo/{NAME}"


@dataclass(frozen=True)
class Victim:
    """One command. words: as typed. watch, kept: see above."""

    name: str
    words: tuple[str, ...]
    watch: Callable[[Say], None]
    kept: Callable[[Path], set[str]]


def _one(folder: Path, pattern: str) -> dict[str, Any]:
    """The JSON file of that pattern, which there is at most once; empty where there is none."""
    found = list(folder.glob(pattern))
    return json.loads(found[0].read_bytes()) if found else {}


# ---------------------------------------------------------------- attack


def _watch_attack(say: Say) -> None:
    from hwsim.runs import count, experiment

    experiment.BATCH = BATCH
    inner = count._batches

    def batches(run: Any, start: int, *rest: Any) -> Iterator[Any]:
        found = inner(run, start, *rest)
        for first in range(start, len(run.inputs), run.batch):
            say(f"images from {first}")
            yield next(found)

    count._batches = batches  # type: ignore[assignment]


def _kept_attack(folder: Path) -> set[str]:
    tally = _one(folder, "runs/hfgsm*/partial.json").get("tally")
    done = tally["samples"] if tally else 0
    return {f"images from {first}" for first in range(0, done, BATCH)}


# ---------------------------------------------------------------- audit


def _watch_audit(say: Say) -> None:
    from hwsim.audit import attempts, suite

    attempts.find_spec = lambda _: None  # type: ignore[assignment]  # ART loads for ten seconds
    inner = suite.Audit.stages

    def stages(audit: Any) -> Iterator[Any]:
        for phase in inner(audit):

            def run(evidence: Any, phase: Any = phase) -> Any:
                say(phase.name)
                return phase.run(evidence)

            yield replace(phase, run=run)

    suite.Audit.stages = stages  # type: ignore[method-assign]


def _kept_audit(folder: Path) -> set[str]:
    return set(_one(folder, "runs/audit*/partial.json").get("finished", []))


# ---------------------------------------------------------------- detect, transfer


def _watch_detect(say: Say) -> None:
    from hwsim.runs.detection import DetectionStudy

    preceded(DetectionStudy, "_attack", lambda study, name, *_: say(name))


def _kept_detect(folder: Path) -> set[str]:
    return set(_one(folder, "runs/detect*/partial.json").get("rows", []))


def _watch_transfer(say: Say) -> None:
    from hwsim.runs import transfer

    names = {"FGSM": "fgsm", "MIFGSM": "mi"}

    def begin(*_: Any, crafted_on: str, attack: Any, **__: Any) -> None:
        say(f"{names[type(attack).__name__]} on {crafted_on}")

    preceded(transfer, "transfer", begin)


def _kept_transfer(folder: Path) -> set[str]:
    return set(_one(folder, "runs/transfer*/counts.json").get("cells", []))


# ---------------------------------------------------------------- training of any kind, measure


def _watch_training(say: Say) -> None:
    from hwsim.models import train_network

    inner = train_network.train

    def train(*given: Any, on_epoch: Callable[[int], None], checkpoint: Path, **more: Any) -> Any:
        def begin(epoch: int) -> None:
            say(_epoch(checkpoint, epoch))
            on_epoch(epoch)

        return inner(*given, on_epoch=begin, checkpoint=checkpoint, **more)

    train_network.train = train  # type: ignore[assignment]


def _epoch(checkpoint: Path, epoch: int) -> str:
    return f"{checkpoint.parent.name} {checkpoint.stem.partition('-round-')[2]} {epoch}"


def _facts(checkpoint: Path) -> dict[str, Any]:
    data = checkpoint.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    found: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["facts"])
    return found


def _kept_training(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.glob("out/checkpoints/*/*.safetensors"):
        facts = _facts(path)
        if path.stem.endswith("-rounds"):
            for number in range(1, facts["round"]["number"] + 1):
                name = path.with_stem(path.stem.removesuffix("s") + f"-{number}")
                found |= {_epoch(name, epoch) for epoch in range(PRUNING_EPOCHS)}
        else:
            found |= {_epoch(path, epoch) for epoch in range(facts["epoch"])}
    return found


def _watch_compressing(say: Say) -> None:
    from hwsim.runs import safecompress
    from hwsim.training.sparse import loop
    from hwsim.training.sparse.settings import METHODS

    safecompress.EPOCHS = 2  # the closing table is not kept
    names = {method: name for name, method in METHODS.items()}

    def begin(state: Any, number: int) -> None:
        say(f"{names[state.parts.method]} {number}")

    preceded(loop._Compressing, "epoch", begin)


def _kept_compressing(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.glob("out/checkpoints/*/*.safetensors"):
        facts = _facts(path)
        method = json.loads(facts["facts"])["method"]
        found |= {f"{method} {epoch}" for epoch in range(facts["epoch"])}
    return found


def _watch_measuring(say: Say) -> None:
    from hwsim.runs import fixed_accuracy
    from hwsim.runs.count import fingerprint

    fixed_accuracy.BATCH = BATCH
    inner = fixed_accuracy.KeptHits.hits

    def hits(tally: Any, engine: Any, show: Callable[[int], None]) -> int:
        def begin(done: int) -> None:
            if done < len(tally.test):
                say(f"{fingerprint(engine.program)} from {done}")
            show(done)

        return inner(tally, engine, begin)

    fixed_accuracy.KeptHits.hits = hits  # type: ignore[method-assign]


def _kept_measuring(folder: Path) -> set[str]:
    return {
        f"{name} from {n}"
        for path in folder.glob("cache/measured/*.json")
        for name, (done, _) in json.loads(path.read_bytes())["counts"].items()
        for n in range(0, done, BATCH)
    }


# ---------------------------------------------------------------- study


def _watch_study(say: Say) -> None:
    from hwsim.studies.runner import runner

    preceded(runner, "execute", lambda text: say(_row(json.loads(text))))


def _row(task: dict[str, Any]) -> str:
    return f"{task['function']} {json.dumps(task['parameters'], sort_keys=True)}"


def _kept_study(folder: Path) -> set[str]:
    path = folder / "runs/studies/rows.sqlite"
    if not path.exists():
        return set()
    try:
        with closing(sqlite3.connect(path)) as base:
            rows = base.execute("SELECT function, parameters FROM rows").fetchall()
    except sqlite3.OperationalError:  # killed before there was a table
        return set()
    return {_row({"function": row[0], "parameters": json.loads(row[1])}) for row in rows}


# ---------------------------------------------------------------- all of them

PRUNING_EPOCHS = 2
_IMAGES = ("--samples", "16")
VICTIMS = [
    Victim("attack", ("attack", "hfgsm", "--model", NETWORK, *_IMAGES, "--eps", "0.1,0.3",
                      "--json", "numbers.json"), _watch_attack, _kept_attack),
    Victim("audit", ("audit", NETWORK, "--images", "2", "--draws", "2", "--steps", "10",
                     "--eps", "0.3"), _watch_audit, _kept_audit),
    Victim("detect", ("detect", NETWORK, "--samples", "8", "--attacks", "hfgsm,pgd"),
           _watch_detect, _kept_detect),
    Victim("transfer", ("transfer", "--models", NETWORK, *_IMAGES, "--eps", "0.2,0.3",
                        "--attacks", "fgsm,mi"), _watch_transfer, _kept_transfer),
    Victim("train", ("train", NAME, "--out", "out"), _watch_training, _kept_training),
    Victim("finetune", ("finetune", NETWORK, "--hardware", "--bits", "6", "--epochs", "4",
                        "--batch", "16", "--out", "out"), _watch_training, _kept_training),
    Victim("prune", ("prune", NETWORK, "--to", "1.3", "--epochs", str(PRUNING_EPOCHS),
                     "--batch", "16", "--augment", "4", "--out", "out"),
           _watch_training, _kept_training),
    Victim("safecompress", ("safecompress", NAME, "--density", "0.5", "--members", "40",
                            "--epochs", "4", "--batch", "8", "--period", "6", "--tested", "10",
                            "--against", "dense", "--out", "out", "--json", "numbers.json"),
           _watch_compressing, _kept_compressing),
    Victim("measure", ("zoo", "measure", NETWORK, "--bits", "8,6"), _watch_measuring,
           _kept_measuring),
    Victim("study", ("study", NAME, "--csv", "rows.csv", "--json", "numbers.json"),
           _watch_study, _kept_study),
]  # fmt: skip
