"""Hashed layers in exported programs, whose graph decodes their weights with a constant table.

torch.export takes a hashed layer apart: [w, −w] is gathered by a table of K · sign + address, and
the matrix that comes of it goes into an ordinary operator. The table shows which hash made it, if
its seed is one that people choose: all below ``SEEDS`` are tried, and what is found is compared
entry by entry.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from hwsim.compiler.operations import F64
from hwsim.numbers.hashing import HashSpec, Scheme, table, xxh32_pair

#: Seeds that are tried, from 0 on; ``compress`` counts them up from layer to layer.
SEEDS = 1 << 16
#: Virtual weights whose signs name the seed: one in 2^64 others has the same.
_SIGNS = 64
#: Where the weights of an operator stand among its arguments.
_WEIGHTS = {"conv1d": 1, "conv2d": 1, "convolution": 1, "linear": 1, "mm": 1, "matmul": 1,
            "addmm": 2}  # fmt: skip
#: Layers that decode their weights, by class.
HASHED = ("hwsim.models.layers.HashConv2d", "hwsim.models.layers.HashLinear")
#: What only names the weights anew.
_SAME = {
    "view", "reshape", "unsafe_view", "alias", "clone", "to", "to_copy", "detach", "contiguous",
}  # fmt: skip
#: What turns a matrix, as a fully connected layer in the core operators does with its own.
_TURNED = {"permute", "t", "transpose", "numpy_T"}


class DenseWeightsWarning(UserWarning):
    """An exported layer shared its weights, and nothing tells any more how."""


@dataclass(frozen=True, eq=False)
class SharedWeights:
    """How an exported layer shares its weights. real: float64 (K,), in address order."""

    spec: HashSpec
    real: F64


def shared_weights(node: fx.Node, values: Mapping[fx.Node, Any], path: str) -> SharedWeights | None:
    """The shared weights of an operator of ATen, None for one that has them unshared.

    values: what constant nodes give. Warns DenseWeightsWarning where weights are shared by a table
    that no known hash makes.
    """
    if not isinstance(node.target, torch._ops.OpOverload):
        return None
    place = _WEIGHTS.get(_name(node))
    weight = node.args[place] if place is not None and place < len(node.args) else None
    if not isinstance(weight, fx.Node) or not isinstance(values.get(weight), Tensor):
        return None
    gathered, turned = weight, False
    while _name(gathered) in _SAME | _TURNED and isinstance(gathered.args[0], fx.Node):
        turned ^= _name(gathered) in _TURNED
        gathered = gathered.args[0]
    source = gathered.args[0] if _name(gathered) in ("index_select", "index") else None
    if not isinstance(source, fx.Node):
        return None
    bank, slots = values.get(source), _table_of(gathered, values)
    if not isinstance(bank, Tensor) or slots is None or bank.ndim != 1:
        return None
    matrix = values[weight]
    n_out = matrix.shape[1] if turned else matrix.shape[0]
    real = bank.detach().double().numpy()
    half = len(real) // 2
    if len(real) % 2 or slots.size % n_out or not np.array_equal(real[:half], -real[half:]):
        return None
    spec = hash_of(slots.reshape(n_out, -1), half)
    if spec is None:
        warnings.warn(
            f"{path}: shares {half} weights among {slots.size} by a table that no hash with a seed "
            f"below {SEEDS} makes, and is compiled with {slots.size} of its own: compile the "
            "module itself instead of its export",
            DenseWeightsWarning,
            stacklevel=2,
        )
        return None
    return SharedWeights(spec, real[:half].copy())


def hash_of(slots: NDArray[np.int64], real_weights: int) -> HashSpec | None:
    """The hash that shares so, from its table of address + K · sign, (n_out, fan_in)."""
    n_out, fan_in = slots.shape
    if real_weights == slots.size and np.array_equal(slots, _dense(n_out, fan_in)):
        return HashSpec("dense", n_out, fan_in, real_weights)
    address, negative = slots % real_weights, slots >= real_weights
    flat = np.arange(min(_SIGNS, slots.size))
    i, j = flat // fan_in, flat % fan_in
    signs = negative.reshape(-1)[flat]
    for seed in _seeds(i, j, signs):
        for spec in _specs(n_out, fan_in, real_weights, seed):
            if all(map(np.array_equal, table(spec), (address, negative))):
                return spec
    return None


def _dense(n_out: int, fan_in: int) -> NDArray[np.int64]:
    return table(HashSpec("dense", n_out, fan_in, n_out * fan_in))[0]


def _seeds(i: NDArray[np.int64], j: NDArray[np.int64], signs: NDArray[np.bool_]) -> list[int]:
    """Those that give weights (i, j) these signs, which every scheme takes from one bit."""
    left = np.arange(SEEDS, dtype=np.uint32)
    for n in range(len(signs)):
        hashed = xxh32_pair(i[n : n + 1], j[n : n + 1], left)
        left = left[(hashed & np.uint32(1)) == signs[n]]
    return [int(seed) for seed in left]


def _specs(n_out: int, fan_in: int, real_weights: int, seed: int) -> list[HashSpec]:
    schemes: list[tuple[Scheme, int]] = [("xxh32", 32)]
    banks = 2  # with one bank, banked is xxh32
    while real_weights % banks == 0:
        schemes.append(("banked", banks))
        banks *= 2
    return [HashSpec(scheme, n_out, fan_in, real_weights, seed, banks) for scheme, banks in schemes]


def _table_of(node: fx.Node, values: Mapping[fx.Node, Any]) -> NDArray[np.int64] | None:
    """The constant table by which ``index_select`` or ``index`` gathers from one axis."""
    found = node.args[2] if _name(node) == "index_select" else node.args[1]
    if isinstance(found, list | tuple):
        found = found[0] if len(found) == 1 else None
    slots = values.get(found) if isinstance(found, fx.Node) else None
    if not isinstance(slots, Tensor) or slots.ndim != 1 or slots.dtype.is_floating_point:
        return None
    table: NDArray[np.int64] = slots.detach().long().numpy()
    return table


def _name(node: fx.Node) -> str:
    """Of an operator of ATen, without underscores around it; else empty."""
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return ""
    return str(target._schema.name).split("::")[-1].strip("_")
