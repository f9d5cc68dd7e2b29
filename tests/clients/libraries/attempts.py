"""Every attack of torchattacks, Foolbox and ART that takes images, found by looking, and its fate.

Each is built with its own defaults but for a small budget, and run on the engine as it is, on the
engine with ``outside="clamp"``, and on the float network that the engine was compiled from. The
last is what tells whose fault a failure is: what stops on an ordinary PyTorch network too is not
the engine's.
"""

from __future__ import annotations

import inspect
import io
import logging
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwsim import Engine, compile

CLASSES = 10
EPSILON = 20 / 255

#: Budgets by the name of the argument, wherever an attack has one of that name.
BUDGET: dict[str, Any] = {
    "steps": 3, "max_iter": 3, "iterations": 3, "n_queries": 12, "queries": 12, "nb_iter": 3,
    "binary_search_steps": 2, "restarts": 1, "n_restarts": 1, "nb_restarts": 1, "runs": 2,
    "max_eval": 20, "init_eval": 5, "init_size": 5, "initial_gradient_eval_steps": 5,
    "max_gradient_eval_steps": 10, "nb_samples": 2, "n_samples": 2, "N": 2, "m1": 2, "m": 2,
    "max_queries": 60, "max_trial": 60, "max_trials": 10, "sample_size": 4, "num_trial": 5,
    "nb_parallel": 4, "n_iter": 2, "inner_iters": 2, "outer_iters": 2, "inf_batch": 2,
    "inner_batch": 2, "popsize": 6, "max_halvings": 2, "directions": 4, "max_rotation": 10,
    "num_rotations": 3, "num_translations": 3, "max_translation": 2, "n_classes": CLASSES,
    "verbose": False, "grid_max": 2, "max_halving": 1, "max_doubling": 1,
    "initial_num_evals": 5, "max_num_evals": 10, "stepsize_search": "grid_search",
}  # fmt: skip


#: By library and attack, where the budgets above leave more than a few seconds of work.
OWN_BUDGET: dict[tuple[str, str], dict[str, Any]] = {
    ("torchattacks", "JSMA"): {"theta": 1.0, "gamma": 0.01},
    ("torchattacks", "SparseFool"): {"steps": 1, "lam": 3.0},
    ("ART", "BrendelBethgeAttack"): {
        "steps": 2, "overshoot": 1.1, "init_attack": None, "binary_search_steps": 2,
    },
    ("ART", "CarliniL0Method"): {"max_iter": 1, "binary_search_steps": 1},
    ("ART", "CarliniLInfMethod"): {
        "max_iter": 1, "initial_const": 1.0, "largest_const": 1.5, "decrease_factor": 0.5,
    },
    ("ART", "DeepFool"): {"max_iter": 1},
    ("ART", "PixelAttack"): {"max_iter": 1, "th": 1, "es": 1},
    ("ART", "UniversalPerturbation"): {"max_iter": 1, "attacker": "fgsm"},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An attack of a library: ``run(model, x, labels)`` gives its images (N, C, H, W)."""

    library: str
    name: str
    run: Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Fate:
    """What became of it: "runs", or the first line of the error, on each of the three."""

    library: str
    name: str
    engine: str
    clamped: str
    float: str

    @property
    def fault(self) -> str:
        """Whose fault it is that it does not run on the engine as it is."""
        if self.engine == RUNS:
            return "–"
        if TOO_LONG in (self.engine, self.clamped, self.float):
            return "not judged: too long"
        if self.float != RUNS:
            return self.library
        return 'looks beyond [0, 1]: `outside="clamp"`' if self.clamped == RUNS else "engine"


RUNS = "runs"
#: Seconds that an attempt may take, and what is said of one that takes more.
LIMIT = 20
TOO_LONG = "too long"
#: Made of other attacks of the list and run as a whole in test_torchattacks; hours otherwise.
COMPOSED = {("torchattacks", "AutoAttack"), ("torchattacks", "MultiAttack")}


class _TooLong(BaseException):
    """No Exception: libraries catch these."""


def _ring(*_: Any) -> None:
    raise _TooLong


def budget(function: Callable[..., Any], **more: Any) -> dict[str, Any]:
    """The arguments of BUDGET and ``more`` that ``function`` takes."""
    parameters = inspect.signature(function).parameters
    given = {**BUDGET, **more}
    return {
        name: _like(parameters[name].default, value)
        for name, value in given.items()
        if name in parameters
    }


def _like(default: Any, value: Any) -> Any:
    """As a float where the library's own default is one (max_rotation), as it is elsewhere."""
    return float(value) if type(default) is float and type(value) is int else value


# --------------------------------------------------------------------------- torchattacks


def torchattacks_cases() -> Iterator[Case]:
    """Classes that torchattacks exports as attacks; its wrappers take attacks, not images."""
    import torchattacks
    from torchattacks.attack import Attack

    for name, kind in sorted(vars(torchattacks).items()):
        if not (inspect.isclass(kind) and issubclass(kind, Attack)) or kind is Attack:
            continue
        wrapper = kind.__module__.startswith("torchattacks.wrappers")
        if wrapper or ("torchattacks", name) in COMPOSED:
            continue

        def run(
            model: nn.Module, x: Tensor, y: Tensor, kind: Any = kind, name: str = name
        ) -> Tensor:
            more = {"eps": EPSILON} if "Linf" in str(inspect.signature(kind)) else {}
            found: Tensor = kind(
                model, **budget(kind, **more, **OWN_BUDGET.get(("torchattacks", name), {}))
            )(x.clone(), y)
            return found.detach()

        yield Case("torchattacks", name, run)


# --------------------------------------------------------------------------- Foolbox


def foolbox_cases() -> Iterator[Case]:
    """Concrete subclasses of Foolbox's Attack that its module of attacks exports, each once."""
    import foolbox
    from foolbox.attacks.base import Attack

    seen: set[type] = set()
    for name, kind in sorted(vars(foolbox.attacks).items()):
        if not (inspect.isclass(kind) and issubclass(kind, Attack)) or inspect.isabstract(kind):
            continue
        if kind in seen:
            continue  # a second name of the same attack
        seen.add(kind)

        def run(model: nn.Module, x: Tensor, y: Tensor, kind: Any = kind) -> Tensor:
            wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
            more: dict[str, Any] = {}
            if "distance" in inspect.signature(kind).parameters:
                more["distance"] = foolbox.distances.l2
            attack = kind(**budget(kind, **more))
            if kind.__name__ == "DatasetAttack":
                attack.feed(wrapped, x.flip(0))
            criterion: Any = foolbox.criteria.Misclassification(y)
            if hasattr(kind, "BackwardPass") or "GenAttack" in kind.__name__:
                criterion = foolbox.criteria.TargetedMisclassification((y + 1) % CLASSES)
            _, clipped, _ = attack(wrapped, x, criterion, epsilons=10 * EPSILON)
            return torch.as_tensor(clipped)

        yield Case("Foolbox", name, run)


# --------------------------------------------------------------------------- ART


def art_cases() -> Iterator[Case]:
    """Evasion attacks of ART on image classifiers; those on detectors, sound and text are none."""
    from art.attacks import EvasionAttack, evasion

    for name, kind in sorted(vars(evasion).items()):
        if not (inspect.isclass(kind) and issubclass(kind, EvasionAttack)):
            continue
        if kind is EvasionAttack or inspect.isabstract(kind) or not _classifies(kind):
            continue

        def run(model: nn.Module, x: Tensor, y: Tensor, kind: Any = kind) -> Tensor:
            from art.estimators.classification import PyTorchClassifier

            classifier = PyTorchClassifier(
                model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), CLASSES, clip_values=(0.0, 1.0),
                device_type="cpu",
            )  # fmt: skip
            attack = kind(classifier, **budget(kind, **OWN_BUDGET.get(("ART", kind.__name__), {})))
            targets = np.eye(CLASSES, dtype=np.float32)[y.numpy()]
            if getattr(attack, "targeted", False):
                targets = np.roll(targets, 1, 1)
            found = attack.generate(x.numpy().copy(), targets)
            return torch.as_tensor(np.asarray(found))

        yield Case("ART", name, run)


def _classifies(kind: Any) -> bool:
    """Whether an image classifier is what it asks for."""
    from art.estimators.classification import PyTorchClassifier

    wanted = getattr(kind, "_estimator_requirements", ())
    ours = PyTorchClassifier.__mro__
    return all(
        any(one in ours for one in (need if isinstance(need, tuple) else (need,)))
        for need in wanted
    )


# --------------------------------------------------------------------------- running them


CASES = {"torchattacks": torchattacks_cases, "Foolbox": foolbox_cases, "ART": art_cases}
PACKAGES = {
    "torchattacks": "torchattacks",
    "Foolbox": "foolbox",
    "ART": "adversarial-robustness-toolbox",
}


def versions() -> dict[str, str]:
    """Of the three libraries, as installed."""
    return {library: version(package) for library, package in PACKAGES.items()}


def attempt(case: Case, model: nn.Module, x: Tensor, labels: Tensor) -> str:
    """RUNS, or one line that says why not."""
    with _quiet():
        before = signal.signal(signal.SIGALRM, _ring)
        signal.alarm(LIMIT)
        try:
            images = case.run(model, x, labels)
        except _TooLong:
            return TOO_LONG
        except Exception as error:  # whatever a library may raise is the result here
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return f"{type(error).__name__}: {lines[0] if lines else ''}"[:90]
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
    if tuple(images.shape) != tuple(x.shape):
        return f"returns no images: shape {tuple(images.shape)}"
    if not bool(torch.isfinite(images).all()):
        return "returns NaN"
    if float(images.min()) < -1e-5 or float(images.max()) > 1 + 1e-5:
        return "returns images outside [0, 1]"
    return RUNS


def fate(case: Case, models: dict[str, nn.Module], x: Tensor, labels: Tensor) -> Fate:
    """The attack on the engine, on the clamping engine, and on the float network.

    One that runs on the engine as it is runs on the clamping one too: it never saw the difference.
    """
    engine = attempt(case, models["engine"], x, labels)
    if engine in (RUNS, TOO_LONG):
        return Fate(case.library, case.name, engine, engine, engine)
    clamped = attempt(case, models["clamped"], x, labels)
    plain = attempt(case, models["float"], x, labels)
    return Fate(case.library, case.name, engine, clamped, plain)


@contextmanager
def _quiet() -> Iterator[None]:
    """Seeded, without the libraries' progress bars, prints and warnings."""
    before = np.random.get_state()  # noqa: NPY002 - what the libraries draw from
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            torch.random.fork_rng(),
        ):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
            yield
    finally:
        logging.disable(logging.NOTSET)
        np.random.set_state(before)  # noqa: NPY002


def setting() -> tuple[dict[str, nn.Module], Tensor, Tensor]:
    """The three models, four colour images on the grid (some attacks take no grey ones), labels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(288, CLASSES),
        ).eval()  # fmt: skip
        x = torch.floor(torch.rand(4, 3, 12, 12) * 255 + 0.5) / 255
        program = compile(module, torch.rand(64, 3, 12, 12))
    models = {
        "engine": Engine(program),
        "clamped": Engine(program, outside="clamp"),
        "float": module,
    }
    return models, x, models["engine"](x).argmax(1)


def fates(library: str) -> list[Fate]:
    """Of every attack of one library, in alphabetical order."""
    models, x, labels = setting()
    return [fate(case, models, x, labels) for case in CASES[library]()]
