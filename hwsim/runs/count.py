"""Counting a run batch by batch, so that it can be stopped and gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from torch import nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate.cross import Crossing, cross_evaluate
from hwsim.attacks.evaluate.tally import Tally
from hwsim.errors import InputError
from hwsim.networks.open import versions
from hwsim.program.program import Program
from hwsim.program.wires import chain_wires
from hwsim.runs.experiment import Experiment
from hwsim.runs.settings import Estimate
from hwsim.runs.tally import judged_by_rtl, shares
from hwsim.runs.unfinished import keep, kept


def key(experiment: Experiment) -> str:
    """Digest of everything that the counts depend on."""
    settings = asdict(experiment.settings)
    chosen = {k: v for k, v in settings.items() if k not in ("command", "model")}
    facts = [chosen, experiment.batch, experiment.test.digest]
    facts.append(fingerprint(experiment.network.program))
    if experiment.judge is not None:
        from hwsim.rtl.build import build

        # Named by its content: other Verilog, other judge.
        facts.append(build(experiment.network.program.config).name)
    text = json.dumps([*facts, versions()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(program: Program) -> str:
    """SHA-256 of what a program computes, the float weights it came from, and its rewrites."""
    origin = program.provenance.get("weights_sha256")
    facts = [program.config.model_dump(), program.input_shape, origin, program.history]
    # Of a chain that reads pixels, nothing: what was counted of one is still known.
    if program.input.scale * program.config.act_max != 1 or program.input.zero:
        facts.append([str(program.input.scale), program.input.zero])
    if program.input.top is not None:
        facts.append(program.input.top)
    if program.wires != chain_wires(program.layers):
        facts.append(repr(program.wires))
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for layer in program.layers:
        for part in fields(layer):
            value = getattr(layer, part.name)
            words = isinstance(value, np.ndarray)
            digest.update(value.tobytes() if words else f"{part.name}={value!r};".encode())
    return digest.hexdigest()


def count(
    experiment: Experiment,
    partial: Path,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tally:
    """All counts; ``partial`` keeps finished batches, so that an interrupted run goes on.

    on_progress(images done, images in all). Raises InputError where ``partial`` cannot be
    written; what it holds of another run, or in part, is not used.
    """
    total = len(experiment.inputs)
    tally = resumed(experiment, partial)
    start = tally.samples if tally else 0
    on_progress(start, total)
    if tally is not None and start == total:
        return tally
    for counted in _batches(experiment, start, on_progress):
        batch = counted if experiment.judge is None else judged_by_rtl(counted)
        tally = batch if tally is None else tally + batch
        known = {} if experiment.judge is None else {"judged": experiment.judge.known}
        keep(partial, key(experiment), {"tally": tally.as_dict(), **known})
    assert tally is not None
    return tally


def _batches(
    experiment: Experiment, start: int, on_progress: Callable[[int, int], None]
) -> Iterator[Tally]:
    models: dict[str, nn.Module] = {
        "float": experiment.network.module,
        "engine": experiment.engine,
    }
    if experiment.judge is not None:
        models["rtl"] = experiment.judge
    crossing = Crossing.of(
        models,
        experiment.crafter.attacks,
        experiment.settings.epsilons,
        judge_only=[name for name in models if name == "rtl"],
        counterpart=experiment.crafter.counterparts,
    )
    return cross_evaluate(
        crossing,
        experiment.inputs,
        experiment.labels,
        targets=experiment.targets,
        batch_size=experiment.batch,
        start=start,
        progress=on_progress,
    )


def resumed(experiment: Experiment, partial: Path) -> Tally | None:
    """The counts of an earlier run with the same key; None unless they can be added to."""
    try:
        data = kept(partial, key(experiment))
        if data is None:
            return None
        tally = Tally.from_dict(data["tally"])
        done, total = int(tally.samples), len(experiment.inputs)
        whole = done == total or done % experiment.batch == 0
        usable = whole and done == tally.samples and 0 < done <= total
        shares(tally)
        if not usable or tally.epsilons != experiment.settings.epsilons:
            return None
        if bool(tally.adaptive) != experiment.settings.naive:
            return None
        if experiment.judge is not None:
            known = {str(name): list(map(int, row)) for name, row in data["judged"].items()}
            if any(len(row) != experiment.network.program.classes for row in known.values()):
                return None
            experiment.judge.known |= known
        return tally
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, AttackError):
        return None  # nothing usable is kept: start anew


def estimate(experiment: Experiment, partial: Path) -> Estimate | None:
    """Judges one image and says how long the Verilog will take; None if nothing is left."""
    tally = resumed(experiment, partial)
    start = tally.samples if tally else 0
    left, epsilons = len(experiment.inputs) - start, len(experiment.settings.epsilons)
    if experiment.judge is None or left == 0:
        return None
    judge(experiment.judge, experiment.grid.snap(experiment.inputs[start : start + 1]))
    cycles, seconds = experiment.judge.simulated
    if not cycles:  # an image that an earlier one was equal to
        return None
    return Estimate(
        cycles=cycles,
        judgements=left * (1 + 2 * epsilons),
        images=left,
        epsilons=epsilons,
        cycles_per_second=cycles / seconds,
        workers=experiment.judge.workers,
    )
