"""The attacks that ``hwsim attack`` offers: what each is, what it may spend, what it can be told.

Nothing here imports torch, so that ``--help`` stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: A whole number, a number, a switch, several names, or one of the listed words.
Kind = Literal["int", "float", "switch", "names"] | tuple[str, ...]


@dataclass(frozen=True)
class Option:
    """An argument of the attack's constructor: ``step_size`` is ``--step-size``.

    default: the constructor's own; None lets the attack choose. word: another name on the command
    line, where all attacks share an option of the argument's name.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    word: str = ""

    @property
    def flag(self) -> str:
        """As it is typed, without the dashes."""
        return self.word or self.name.replace("_", "-")


@dataclass(frozen=True)
class AttackEntry:
    """One attack.

    name: a key of hwsim.attacks.known.ATTACKS. norm: what its budgets measure; an option ``norm``
    may choose another. budgets: as a user would type them. samples: images for a run of a minute
    or two on two cores with mnist-cnn-h64. batch: images between two updates of the bar.
    differentiates: ``loss``, a loss that the user chooses; ``logits``; or nothing.
    """

    name: str
    title: str
    norm: Literal["linf", "l2", "l1", "l0"]
    budgets: str
    samples: int
    batch: int
    differentiates: Literal["loss", "logits", "nothing"]
    options: tuple[Option, ...] = ()

    @property
    def needs_gradient(self) -> bool:
        return self.differentiates != "nothing"

    def budgets_in(self, norm: str) -> str:
        """Those for a norm that an option chose."""
        return self.budgets if norm == self.norm else _OTHERWISE[norm]


_STEPS = "0.1,0.2,0.3,0.4,0.5"
_UNBOUNDED = "0.5,1,1.5,2,3,inf"
_VALUES = "1%,2.5%,5%,7.5%,10%,14.5%"
_FEWEST = "1%,2.5%,5%,7.5%,10%,14.5%,inf"
_OTHERWISE = {
    "linf": "0.1,0.15,0.2,0.3,0.5,inf", "l2": _UNBOUNDED, "l1": "2,4,8,16,inf", "l0": _FEWEST,
}  # fmt: skip

_STEP_SIZE = Option("step_size", "float", None, "Step, 0 … 1 of a pixel's range.")
_SEED = Option("seed", "int", 0, "Seed of the random draws.")


def _early_exit(default: bool) -> Option:
    return Option(
        "early_exit", "switch", default, "Leave an example alone once it reaches the goal."
    )


_ITERATED = (_STEP_SIZE, _early_exit(True))
_TRANSFORMS = Option(
    "transforms", "names", (), "Of the gradient, outermost first: ni, sim, dim, tim."
)
_MOMENTUM = (
    Option("decay", "float", 1.0, "How much of the past gradients is kept."),
    _TRANSFORMS,
    _SEED,
    _STEP_SIZE,
    _early_exit(False),
)


def _jsma(pairs: bool, recompute: bool) -> tuple[Option, ...]:
    return (
        Option("theta", "float", 1.0, "Change of a value, -1 … 1; negative lowers values."),
        Option(
            "max_distortion", "float", 0.145,
            "Most values that may change, as a share of all; --eps may ask for fewer.",
        ),
        Option("pairs", "switch", pairs, "Two values at a time (Papernot), or one."),
        Option("recompute", "switch", recompute, "Differentiate after every change, or once."),
        Option("block", "int", 1, "Changes between two looks at the model."),
        Option("output", ("logits", "probabilities"), "probabilities", "What is differentiated."),
        Option(
            "untargeted", ("source", "runner-up"), "source",
            "Without --target: leave the source class, or aim at the second best.",
        ),
    )  # fmt: skip


def _carlini(step_size: float, initial_const: float, *more: Option) -> tuple[Option, ...]:
    return (
        Option("steps", "int", 100, "Gradient steps for each weight c."),
        Option("step_size", "float", step_size, "Adam's step."),
        Option("confidence", "float", 0.0, "Lead of the wrong class asked for, in logits."),
        Option("initial_const", "float", initial_const, "First weight c of the attack term."),
        Option("abort_early", "switch", True, "Stop a run that makes no progress."),
        *more,
    )


def _gradients(norms: tuple[str, ...], *more: Option) -> tuple[Option, ...]:
    """Of a minimum-norm attack: gradients in all, and the norm where there is a choice."""
    steps = Option("steps", "int", 100, "Gradient steps.")
    norm = Option("norm", norms, norms[0], "Distance that is made small.")
    return (steps, *((norm,) if len(norms) > 1 else ()), *more)


_AUTO = (
    Option("steps", "int", 100, "Gradient steps from each start."),
    Option("norm", ("linf", "l2"), "linf", "What a budget measures."),
    Option("restarts", "int", 1, "Random starts."),
    Option("rho", "float", 0.75, "Share of steps that must pay, or the step is halved."),
    _SEED,
)
_GAMMA = Option("gamma", "float", 0.05, "How fast the distance shrinks and grows.")


ENTRIES: dict[str, AttackEntry] = {
    entry.name: entry
    for entry in (
        AttackEntry(
            "fgsm", "One step along the gradient's sign.", "linf", _STEPS,
            1000, 128, "loss",
        ),
        AttackEntry(
            "hfgsm", "FGSM under its name on the hardware engine (Liu et al. 2018).",
            "linf", _STEPS, 1000, 128, "loss",
        ),
        AttackEntry(
            "bim", "FGSM in small steps.", "linf", _STEPS, 500, 64, "loss",
            (Option("steps", "int", 10, "Gradient steps."), *_ITERATED),
        ),
        AttackEntry(
            "pgd", "Small steps from random starts.", "linf", _STEPS, 200, 50,
            "loss",
            (
                Option("steps", "int", 40, "Gradient steps from each start."),
                Option("restarts", "int", 1, "Random starts."),
                Option("random_start", "switch", True, "Start at random, or at the image."),
                _SEED,
                *_ITERATED,
            ),
        ),
        AttackEntry(
            "apgd", "Auto-PGD: momentum, and steps that halve where they stop paying.",
            "linf", _STEPS, 100, 50, "loss", _AUTO,
        ),
        AttackEntry(
            "apgd-t", "Auto-PGD towards one class after the other.",
            "linf", _STEPS, 40, 20, "logits",
            (*_AUTO, Option("targets", "int", 9, "Classes tried, the likeliest first.")),
        ),
        AttackEntry(
            "mifgsm", "Small steps with momentum, made to transfer.",
            "linf", _STEPS, 300, 50, "loss", (Option("steps", "int", 10, "Steps."), *_MOMENTUM),
        ),
        AttackEntry(
            "sfgrm", "Rescaled gradients of sampled neighbours, made to transfer.",
            "linf", "0.1,0.2,0.3", 40, 20, "loss",
            (
                Option("steps", "int", 10, "Steps."),
                Option("samples", "int", 12, "Neighbours sampled; 0 for none.", "neighbours"),
                Option("radius", "float", 1.5, "Their distance, in ε."),
                Option("factor", "float", 2.0, "Largest rescaled gradient."),
                *_MOMENTUM,
            ),
        ),
        AttackEntry(
            "jsma", "Changes few values: pairs by saliency (Papernot et al. 2016).",
            "l0", _VALUES, 100, 25, "logits", _jsma(True, True),
        ),
        AttackEntry(
            "hjsma", "Changes few values: one gradient, eq. 7 of Liu et al. 2018.",
            "l0", _VALUES, 200, 50, "logits", _jsma(False, False),
        ),
        AttackEntry(
            "cw-l2", "Carlini and Wagner: smallest L2 distance.", "l2",
            _UNBOUNDED, 40, 10, "logits",
            _carlini(
                5e-2, 1e-3, Option("binary_search_steps", "int", 9, "Weights c that are tried.")
            ),
        ),
        AttackEntry(
            "cw-l0", "Carlini and Wagner: fewest values.", "l0",
            _FEWEST, 20, 10, "logits",
            _carlini(
                5e-2, 1e-3,
                Option("largest_const", "float", 2e6, "Weight c at which a search gives up."),
                Option("per_channel", "switch", True, "Count channels apart, or whole pixels."),
            ),
        ),
        AttackEntry(
            "cw-linf", "Carlini and Wagner: smallest largest change.",
            "linf", _OTHERWISE["linf"], 20, 10, "logits",
            _carlini(
                1e-2, 1e-5,
                Option("largest_const", "float", 20.0, "Weight c at which a search gives up."),
                Option("decrease_factor", "float", 0.9, "How the free change shrinks."),
            ),
        ),
        AttackEntry(
            "fmn", "Fast minimum norm: a ball that shrinks where the attack succeeds.",
            "l2", _UNBOUNDED, 100, 25, "logits",
            _gradients(
                ("l2", "linf", "l1", "l0"),
                Option("step_size", "float", 1.0, "First step, an L2 length; inputs 0 … 1."),
                _GAMMA,
            ),
        ),
        AttackEntry(
            "ddn", "Direction and norm apart: smallest L2 distance in few steps.",
            "l2", _UNBOUNDED, 100, 25, "loss",
            _gradients(("l2",), _GAMMA, Option("first", "float", 1.0, "First L2 distance.")),
        ),
        AttackEntry(
            "sigma-zero", "σ-zero: fewest values, by gradients.", "l0", _FEWEST, 100, 25, "logits",
            _gradients(
                ("l0",),
                Option("step_size", "float", 1.0, "Adam's first step."),
                Option("sigma", "float", 1e-3, "How sharply values are counted."),
                Option("threshold", "float", 0.3, "Changes below it are dropped, at first."),
                Option("threshold_step", "float", 0.01, "How fast that threshold moves."),
            ),
        ),
        AttackEntry(
            "alma", "Augmented Lagrangian: smallest L2 or L1 distance.",
            "l2", _UNBOUNDED, 100, 25, "logits",
            _gradients(
                ("l2", "l1"),
                Option("first", "float", None, "Length of the first step."),
                Option("average", "float", None, "Weight of the past in the averages, 0 … 1."),
            ),
        ),
        AttackEntry(
            "fab", "Fast adaptive boundary: projections onto the boundary.",
            "linf", _OTHERWISE["linf"], 20, 10, "logits",
            (
                Option("steps", "int", 100, "Projections."),
                Option("norm", ("linf", "l2", "l1"), "linf", "Distance that is made small."),
                Option("targets", "int", 0, "Classes aimed at one by one; 0: all at once."),
                Option("restarts", "int", 1, "Runs; all but the first from random points."),
                Option("alpha", "float", 0.1, "Largest pull towards the original."),
                Option("beta", "float", 0.9, "How far a success is pulled back."),
                Option("eta", "float", 1.05, "How far beyond the boundary."),
                _SEED,
            ),
        ),
        AttackEntry(
            "autoattack", "APGD-CE, APGD-T, FAB-T and Square on whoever is left.",
            "linf", "0.1,0.2,0.3", 20, 10, "logits",
            (
                Option("steps", "int", 100, "Gradient steps of each run."),
                Option("norm", ("linf", "l2"), "linf", "What a budget measures."),
                Option("targets", "int", 9, "Classes tried, the likeliest first."),
                Option("queries", "int", 5000, "Squares tried, one query each."),
                _SEED,
            ),
        ),
        AttackEntry(
            "square", "Random search that sees scores, no gradient.",
            "linf", "0.1,0.2,0.3", 100, 50, "nothing",
            (
                Option("steps", "int", 500, "Squares tried, one query each."),
                Option("p_init", "float", 0.8, "Share of the pixels in the first squares."),
                Option("restarts", "int", 1, "Tries from other stripes."),
                _SEED,
            ),
        ),
        AttackEntry(
            "decision", "HopSkipJump, which sees the answered class only.",
            "l2", _UNBOUNDED, 30, 5, "nothing",
            (
                Option("steps", "int", 10, "Hops along the boundary."),
                Option("norm", ("l2", "linf"), "l2", "Distance that is made small."),
                Option("evaluations", "int", 100, "Queries of the first estimate."),
                Option("tries", "int", 100, "Random images to begin with."),
                Option("theta", "float", 0.003, "Where bisections stop, and width of probes."),
                _SEED,
            ),
        ),
        AttackEntry(
            "noise", "Random noise: what no attacker would find.",
            "linf", _STEPS, 200, 50, "nothing",
            (
                Option("kind", ("sign", "uniform"), "sign", "A corner of the ε-ball, or a point."),
                Option("draws", "int", 100, "Images drawn for each input."),
                _SEED,
            ),
        ),
    )
}  # fmt: skip


def norm_of(entry: AttackEntry, options: Mapping[str, Any]) -> Literal["linf", "l2", "l1", "l0"]:
    """The norm of its budgets, with these options."""
    chosen: Literal["linf", "l2", "l1", "l0"] = options.get("norm", entry.norm)
    return chosen
