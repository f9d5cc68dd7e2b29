"""How a weight file keeps a network's weights: whole, in bfloat16, or as the 8-bit ROM's words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.fixedpoint import quantize, weight_frac
from models.layers import HashConv2d, HashLinear
from models.specs import Stored

#: What has a matrix, kernel or bank of real weights.
Weighted = nn.Linear | nn.Conv2d | HashLinear | HashConv2d

#: Largest 8-bit word; the range is symmetric, as in the engine's ROM.
LIMIT = 127
#: Suffix of the tensor that holds a weight tensor's binary point.
POINT = ".point"


def _weights(module: nn.Module) -> dict[str, Weighted]:
    """Key in the state dict of every weight tensor -> its layer."""
    return {
        f"{path}.weight" if path else "weight": layer
        for path, layer in module.named_modules()
        if isinstance(layer, Weighted)
    }


def _point(layer: Weighted) -> int:
    """The binary point that the compiler would choose for the layer's 8-bit words."""
    values = layer.weight.detach().reshape(-1).numpy()
    if isinstance(layer, HashLinear | HashConv2d):
        readers = np.bincount(layer.slot.numpy() % len(values), minlength=len(values))
        return weight_frac(values, readers, LIMIT)
    return weight_frac(values, np.ones(len(values), np.int64), LIMIT)


def _words(layer: Weighted, point: int) -> Tensor:
    values = layer.weight.detach().numpy()
    return torch.from_numpy(quantize(values, point, LIMIT).astype(np.int8))


def _decoded(words: Tensor, point: int) -> Tensor:
    return torch.ldexp(words.float(), torch.tensor(-point))


def round_weights(module: nn.Module, stored: Stored) -> None:
    """Round the weights of all layers, in place, to what the file will hold.

    ``float32``: as they are. ``bfloat16``: to the nearest. ``int8``: to words of 8 bits at one
    binary point a layer, the one that the compiler chooses, so that an 8-bit engine runs exactly
    the network that is stored. Biases and batch norm stay float32.
    """
    if stored == "float32":
        return
    with torch.no_grad():
        for layer in _weights(module).values():
            if stored == "bfloat16":
                rounded = layer.weight.bfloat16()
            else:
                point = _point(layer)
                rounded = _decoded(_words(layer, point), point)
            layer.weight.copy_(rounded)


def packed(module: nn.Module, stored: Stored) -> dict[str, Tensor]:
    """The tensors of a file; nothing is lost if the weights have been through ``round_weights``."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    if stored != "float32":
        for key, layer in _weights(module).items():
            if stored == "bfloat16":
                tensors[key] = tensors[key].bfloat16()
            else:
                point = _point(layer)
                tensors[key] = _words(layer, point).contiguous()
                tensors[key + POINT] = torch.tensor(point, dtype=torch.int32)
    return tensors


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of what ``packed`` made. Raises KeyError for words without their point."""
    state = {key: value for key, value in tensors.items() if not key.endswith(POINT)}
    for key, value in state.items():
        if value.dtype == torch.int8:
            state[key] = _decoded(value, int(tensors[key + POINT]))
    return state
