"""Linear and convolution layers whose weights are shared through a hash (HashedNets)."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from hwsim.errors import InputError
from hwsim.models.copying import copied
from hwsim.numbers.hashing import HashSpec, Scheme, table

_Plain = TypeVar("_Plain", nn.Linear, nn.Conv2d)


class _HashedWeights(nn.Module):
    """The part that HashLinear and HashConv2d share: a bank of real weights and its decoder.

    ``weight`` is the parameter: the K real weights, shape (K,), made in torch's default type as by
    torch's own layers. The index is recomputed from the hash and never stored in a checkpoint.
    """

    weight: nn.Parameter
    slot: Tensor

    def _init_bank(self, spec: HashSpec) -> None:
        self.spec = spec
        address, negative = table(spec)
        # One gather from [w, -w] decodes address and sign together; its backward sums
        # sign * gradient into each bucket, which is HashedNets eq. 12.
        slot = torch.from_numpy(address + spec.real_weights * negative).to(torch.int32)
        self.register_buffer("slot", slot.reshape(-1), persistent=False)
        # He initialisation with the *virtual* fan-in: sums see the virtual matrix.
        bound = math.sqrt(2.0 / spec.fan_in)
        self.weight = nn.Parameter(torch.randn(spec.real_weights) * bound)

    def virtual_weight(self) -> Tensor:
        """The decoded weight matrix, shape (n_out, fan_in), differentiable in the real weights."""
        both = torch.cat([self.weight, -self.weight])
        return both.index_select(0, self.slot).view(self.spec.n_out, self.spec.fan_in)

    def extra_repr(self) -> str:
        s = self.spec
        return f"{s.scheme}, {s.virtual_weights} virtual -> {s.real_weights} real, seed={s.seed}"


class HashLinear(_HashedWeights):
    """``nn.Linear`` with hashed weights: (N, in_features) -> (N, out_features)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rate: float = 1 / 16,
        scheme: Scheme = "xxh32",
        seed: int = 0,
        hash_banks: int = 32,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self._init_bank(
            HashSpec.for_rate(scheme, out_features, in_features, rate, seed, hash_banks)
        )
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.virtual_weight(), self.bias)

    def decoded(self) -> nn.Linear:
        """A plain ``nn.Linear`` that computes the same function."""
        plain = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        return _fill(plain, self)


class HashConv2d(_HashedWeights):
    """``nn.Conv2d`` (zero padding, no dilation) with hashed weights.

    kernel_size, stride, padding: one number, or one for each axis. groups: virtual weight (i, j)
    has i the output channel of the whole layer and j over (channel in the group, ky, kx), so that
    ``in_channels`` groups are a depthwise convolution, with kh * kw columns.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
        *,
        groups: int = 1,
        rate: float = 1 / 16,
        scheme: Scheme = "xxh32",
        seed: int = 0,
        hash_banks: int = 32,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups must divide the channels: {in_channels} in, {out_channels} out, "
                f"{groups} groups"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * 2
        self._shape = (out_channels, in_channels // groups, height, width)
        fan_in = in_channels // groups * height * width
        self._init_bank(HashSpec.for_rate(scheme, out_channels, fan_in, rate, seed, hash_banks))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.virtual_weight().view(self._shape)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, groups=self.groups)

    def decoded(self) -> nn.Conv2d:
        """A plain ``nn.Conv2d`` that computes the same function."""
        plain = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            groups=self.groups,
            bias=self.bias is not None,
        )
        return _fill(plain, self)


Hashed = HashLinear | HashConv2d


def _fill(plain: _Plain, hashed: Hashed) -> _Plain:
    """Write the weights of ``hashed`` into the plain layer of the same shape."""
    with torch.no_grad():
        plain.weight.copy_(hashed.virtual_weight().view_as(plain.weight))
        if plain.bias is not None and hashed.bias is not None:
            plain.bias.copy_(hashed.bias)
    return plain.to(hashed.weight.device, hashed.weight.dtype).train(hashed.training)


def _hashed_twin(layer: nn.Linear | nn.Conv2d, path: str, options: dict) -> Hashed:
    """The hashed layer that can replace ``layer``."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return HashLinear(layer.in_features, layer.out_features, bias, **options)
    if set(layer.dilation) != {1} or layer.padding_mode != "zeros":
        raise InputError(
            f"{path}: only undilated convolutions with zero padding can be hashed: change it, or "
            "name it in skip"
        )
    height, width = layer.kernel_size
    if layer.padding == "same" and 0 in (height % 2, width % 2):
        raise InputError(
            f"{path}: padding='same' with an even kernel pads unequally, which the engine cannot: "
            "use an odd kernel, or name it in skip"
        )
    # What the words of torch say in numbers.
    words = {"same": (height // 2, width // 2), "valid": (0, 0)}
    padding = words[layer.padding] if isinstance(layer.padding, str) else layer.padding
    return HashConv2d(
        layer.in_channels,
        layer.out_channels,
        _single((height, width)),
        _single(layer.stride),
        _single(padding),
        bias,
        groups=layer.groups,
        **options,
    )


def _single(pair: tuple[int, ...]) -> int | tuple[int, int]:
    """3 for (3, 3)."""
    first, second = pair
    return first if first == second else (first, second)


def compress(
    module: nn.Module,
    rate: float = 1 / 16,
    scheme: Scheme = "xxh32",
    *,
    seed: int = 0,
    hash_banks: int = 32,
    skip: tuple[str, ...] = (),
) -> nn.Module:
    """A copy of ``module`` whose Linear and Conv2d layers share their weights through a hash.

    Each bucket starts as the mean of ``sign * weight`` over the virtual weights that it serves
    (the least-squares projection of the trained weights), scaled back to the layer's original
    standard deviation; train the result before use. Layer ``k`` in traversal order hashes with
    ``seed + k``; a layer used under two names is replaced under both. ``skip`` names module paths
    to leave alone, with everything inside them.

    Raises InputError for a rate outside (0, 1], an unknown scheme, a name in ``skip`` that does
    not exist, a convolution that the engine cannot run, or nothing to compress.
    """
    result = copied(module)
    names = dict(result.named_modules(remove_duplicate=False))
    for name in skip:
        if name not in names:
            raise InputError(f"skip: no module named {name!r} in {type(module).__name__}")
    twins: dict[int, Hashed] = {}
    index = 0
    for path, layer in names.items():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        if id(layer) not in twins:
            options = dict(
                rate=rate, scheme=scheme, seed=(seed + index) % 2**32, hash_banks=hash_banks
            )
            index += 1
            if any(path == name or path.startswith(f"{name}.") for name in skip):
                continue
            try:
                twins[id(layer)] = _project(layer, _hashed_twin(layer, path, options))
            except InputError:
                raise
            except ValueError as error:  # from HashSpec
                raise InputError(str(error)) from None
        if not path:
            return twins[id(layer)]
        parent, _, leaf = path.rpartition(".")
        setattr(names[parent], leaf, twins[id(layer)])
    if index == 0:
        raise InputError(f"{type(module).__name__} has no Linear or Conv2d layer to compress")
    return result


def _project(layer: nn.Linear | nn.Conv2d, twin: Hashed) -> Hashed:
    with torch.no_grad():
        real = twin.spec.real_weights
        slot = twin.slot.long()
        _compute_weight(layer)
        weight = layer.weight.detach().to("cpu", torch.float32)
        signed = weight.reshape(-1) * torch.where(slot >= real, -1.0, 1.0).to(weight)
        total = signed.new_zeros(real).index_add_(0, slot % real, signed)
        count = signed.new_zeros(real).index_add_(0, slot % real, torch.ones_like(signed))
        mean = total / count.clamp(min=1)
        spread = min(real, weight.numel()) > 1  # of one number there is no deviation
        if twin.spec.scheme != "dense" and spread and mean.std() > 0 and weight.std() > 0:
            mean = mean * (weight.std() / mean.std())
        twin.weight.copy_(mean)
        if twin.bias is not None and layer.bias is not None:
            twin.bias.copy_(layer.bias)
    twin.train(layer.training)
    return twin.to(layer.weight.device, layer.weight.dtype)


def _compute_weight(layer: nn.Module) -> None:
    """Bring ``weight`` up to date where a hook computes it, as it does before every forward pass.

    torch's pruning, weight norm and spectral norm leave what the last pass computed; a step of
    training later that is old.
    """
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod | WeightNorm | SpectralNorm):
            hook(layer, ())


def decode(module: nn.Module) -> nn.Module:
    """A copy of ``module`` with every hashed layer replaced by the plain layer it computes."""
    if isinstance(module, HashLinear | HashConv2d):
        return module.decoded()
    result = copied(module)
    names = dict(result.named_modules(remove_duplicate=False))
    plain: dict[int, nn.Module] = {}
    for path, layer in names.items():
        if isinstance(layer, HashLinear | HashConv2d):
            parent, _, leaf = path.rpartition(".")
            setattr(names[parent], leaf, plain.setdefault(id(layer), layer.decoded()))
    return result
