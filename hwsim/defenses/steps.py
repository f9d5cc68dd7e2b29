"""Several rewrites in a row, as typed: ``pruning=7@all``, ``augmentation=8``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from hwsim.defenses.augmentation import augment, augment_module
from hwsim.defenses.inhibition import inhibit, inhibit_module
from hwsim.defenses.pruning import prune, prune_module
from hwsim.defenses.rewriting import OnOverflow
from hwsim.errors import InputError
from hwsim.program.program import Program

#: Layers that each rewrite touches where the user names none.
DEFAULT_LAYERS = {"inhibition": "last", "augmentation": "last", "pruning": "all"}


@dataclass(frozen=True)
class RewriteStep:
    """One rewrite: its name, its number (τ, or the compression), its layers."""

    name: str
    value: float
    layers: str

    @classmethod
    def parse(cls, text: str) -> RewriteStep:
        """``NAME=VALUE`` or ``NAME=VALUE@LAYERS``; InputError for anything else."""
        name, _, rest = text.partition("=")
        value, named, layers = rest.partition("@")
        if name not in DEFAULT_LAYERS:
            known = ", ".join(DEFAULT_LAYERS)
            raise InputError(f"unknown rewrite {text!r}: write NAME=VALUE with NAME of {known}")
        try:
            number = float(value)
        except ValueError:
            raise InputError(f"{text!r}: {value!r} is not a number, as in {name}=0.1") from None
        if named and not layers:
            raise InputError(f"{text!r}: name layers behind the @, as in {name}={value}@last")
        return cls(name, number, layers or DEFAULT_LAYERS[name])

    def __call__(self, program: Program, on_overflow: OnOverflow) -> Program:
        """The program rewritten; pruning cannot overflow."""
        if self.name == "pruning":
            return prune(program, self.value, self.layers)
        rewrites: dict[str, Callable[..., Program]] = {
            "inhibition": inhibit,
            "augmentation": augment,
        }
        return rewrites[self.name](program, self.value, self.layers, on_overflow)


def apply(
    program: Program, steps: Sequence[RewriteStep], on_overflow: OnOverflow = "error"
) -> Program:
    """All steps, first to last."""
    for step in steps:
        program = step(program, on_overflow)
    return program


def apply_module(module: nn.Module, steps: Sequence[RewriteStep]) -> nn.Module:
    """The same steps on a float module, hashed or plain; ``module`` itself stays as it is."""
    rewrites: dict[str, Callable[..., nn.Module]] = {
        "inhibition": inhibit_module,
        "augmentation": augment_module,
        "pruning": prune_module,
    }
    for step in steps:
        module = rewrites[step.name](module, step.value, step.layers)
    return module
