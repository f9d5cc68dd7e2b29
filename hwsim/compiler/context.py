"""What is known of one node of a traced graph, whichever way it was traced and spelt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from hwsim.compiler.exported_hashes import SharedWeights
from hwsim.numbers.hashing import HashSpec


@dataclass(frozen=True)
class Context:
    """A node: its path, module, arguments, and what it took and gave.

    sources: the activations that it takes, in order; shapes_before: theirs, without the batch axis.
    shape: of the output; of the first one where there are several. same_batch: whether the batch
    axis survived. dtype: of the output. args, kwargs: with constants resolved; activations are
    still ``fx.Node``. samples, samples_before: values of output and first input; mean, mean_before:
    theirs, for each channel or feature. shared: of an exported layer that shares its weights.
    """

    node: fx.Node
    path: str
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    sources: tuple[fx.Node, ...]
    shapes_before: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    same_batch: bool
    dtype: torch.dtype | None
    samples: NDArray[np.float32]
    samples_before: NDArray[np.float32]
    mean: NDArray[np.float64]
    mean_before: NDArray[np.float64]
    shared: SharedWeights | None = None

    @property
    def before(self) -> tuple[int, ...]:
        """Shape of the first input, without the batch axis."""
        return self.shapes_before[0]

    @property
    def seen(self) -> tuple[str, tuple[int, ...], NDArray[np.float32], NDArray[np.float64]]:
        """The fields that every Op begins with."""
        return self.path, self.shape, self.samples, self.mean

    @property
    def seen_before(self) -> tuple[str, tuple[int, ...], NDArray[np.float32], NDArray[np.float64]]:
        """The same, with values of the first input."""
        return self.path, self.shape, self.samples_before, self.mean_before

    def given(self, *names: str) -> dict[str, Any]:
        """Attributes of the module, or the arguments of a call behind its input, by name.

        names: in the order in which torch's function takes them. An operator of ATen knows its
        own, and has values for those left out.
        """
        if self.module is not None:
            return {name: getattr(self.module, name, None) for name in names}
        if isinstance(self.node.target, torch._ops.OpOverload):
            known = self.node.target._schema.arguments
            found = {a.name: a.default_value for a in known if a.has_default_value()}
            return found | dict(zip((a.name for a in known), self.args, strict=False)) | self.kwargs
        return dict(zip(("input", *names), self.args, strict=False)) | self.kwargs

    @property
    def axes(self) -> int:
        """Axes of the first input, the batch included."""
        return len(self.before) + 1

    @property
    def called(self) -> str:
        """The bare name of what is called, without the underscore of an inplace twin."""
        target: Any = self.node.target
        if self.module is not None:
            return type(self.module).__name__
        if isinstance(target, torch._ops.OpOverload):
            return target._schema.name.split("::")[-1].strip("_")
        return getattr(target, "__name__", str(target)).strip("_")


def is_hashed(module: Any) -> bool:
    """Whether a module carries hashed weights: a ``spec`` and the real ``weight`` bank."""
    return isinstance(getattr(module, "spec", None), HashSpec)


def is_normalize(module: Any) -> bool:
    """Whether a module is one of the many ``Normalize`` classes: (x − mean) / std."""
    named = type(module).__name__ == "Normalize"
    return named and hasattr(module, "mean") and hasattr(module, "std")


def numbers(value: Any) -> set[Any]:
    """The different numbers in an argument: {} of None, {2} of 2 and of (2, 2)."""
    if value is None:
        return set()
    return {value} if isinstance(value, int | float) else set(value)
