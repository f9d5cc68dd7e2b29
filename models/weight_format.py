"""How a weight file keeps a network's weights: whole, in bfloat16, or as the 8-bit ROM's words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.errors import InputError
from hwsim.models.layers import HashConv2d, HashLinear
from hwsim.models.specs import Stored
from hwsim.numbers.fixedpoint import quantize, weight_frac

#: What has a matrix, kernel or bank of real weights.
Weighted = nn.Linear | nn.Conv2d | HashLinear | HashConv2d

#: Largest 8-bit word; the range is symmetric, as in the engine's ROM.
LIMIT = 127
#: Suffix of the tensor that holds a weight tensor's binary point.
POINT = ".point"
#: Largest binary point of a memory image either way (hwsim.rom.manifest).
MAX_POINT = 128


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
    return torch.ldexp(words.float(), torch.tensor(-point, dtype=torch.float32))


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


def unpacked(tensors: Mapping[str, Tensor], module: nn.Module, stored: Stored) -> dict[str, Tensor]:
    """The state dict of what ``packed(module, stored)`` made, float32 again.

    Raises InputError, naming the tensor, for one that is missing or not the network's, of another
    type or shape than ``packed`` writes, or not finite: nothing is converted silently.
    """
    like = _likes(module, stored)
    if other := sorted(like.keys() ^ tensors.keys()):
        word = "no" if other[0] in like else "a tensor that it should not have:"
        raise InputError(f"has {word} {other[0]}")
    state: dict[str, Tensor] = {}
    for key, (dtype, shape) in like.items():
        value = tensors[key]
        if (value.dtype, value.shape) != (dtype, shape):
            raise InputError(
                f"{key} is {value.dtype} of shape {tuple(value.shape)}, not {dtype} of "
                f"{tuple(shape)}"
            )
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{key} is not finite")
        if key.endswith(POINT):
            if not abs(int(value)) <= MAX_POINT:
                raise InputError(f"{key} is {int(value)}, beyond ±{MAX_POINT}")
        elif dtype == torch.int8:
            if int(value.min()) < -LIMIT:
                raise InputError(f"{key} holds {int(value.min())}, beyond ±{LIMIT}")
            point = tensors[key + POINT]
            state[key] = _decoded(value, int(point))
        else:
            state[key] = value
    return state


def _likes(module: nn.Module, stored: Stored) -> dict[str, tuple[torch.dtype, torch.Size]]:
    """Type and shape of every tensor of the file of ``module``."""
    like = {key: (value.dtype, value.shape) for key, value in module.state_dict().items()}
    if stored != "float32":
        for key in _weights(module):
            shape = like[key][1]
            like[key] = (torch.bfloat16 if stored == "bfloat16" else torch.int8, shape)
            if stored == "int8":
                like[key + POINT] = (torch.int32, torch.Size())
    # Points first: words are decoded by them.
    return dict(sorted(like.items(), key=lambda item: not item[0].endswith(POINT)))
