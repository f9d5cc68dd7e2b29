"""Which fast kernels this CPU computes exactly: proved once against the oracle, then remembered.

The int8 kernel is private API of torch and its arithmetic depends on the CPU: without dot-product
instructions oneDNN may add pairs of products in saturating 16 bits. A kernel that disagrees, or
is missing, is left out, and the engine falls back to a slower exact one. That is worth a warning
where a CPU has such instructions; of one without, nothing else can be expected.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from hwsim.engine import reference
from hwsim.engine.forward import Datapath
from hwsim.engine.kernels import Accumulate, Kernel
from hwsim.engine.precision import no_autocast
from hwsim.errors import InputError
from hwsim.files.cache import cache_folder, processor
from hwsim.files.content import digest
from hwsim.files.file import replacing
from hwsim.files.reading import MAX_TEXT, parse_json, read_regular
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import Layer, MacLayer, PoolLayer, Shape, Window
from hwsim.program.program import Program

#: Raise when the checks or the kernels change, so that old verdicts are not believed.
VERSION = 5
#: Environment variables that libraries obey when they choose a kernel: oneDNN's two spellings,
#: torch's own kernels, and the libraries of matrix products.
SWITCHES = ("ONEDNN_", "DNNL_", "ATEN_", "MKL_", "OPENBLAS_")
#: What torch calls the sets of x86 with such instructions that oneDNN knows.
DOTS = ("avx_vnni", "avx512_vnni", "amx_int8")
FAST: tuple[Kernel, ...] = ("int8", "float32")


@lru_cache(maxsize=1)
def trusted_kernels() -> frozenset[Kernel]:
    """The kernels that may be used on this machine; ``float64`` always is among them."""
    path = _verdict_path()
    verdict = _remembered(path)
    if verdict is None:
        # A caller's autocast is not the CPU's fault.
        with no_autocast():
            verdict = [kernel for kernel in FAST if proves_itself(kernel)]
        for kernel in set(FAST) - set(verdict):
            if kernel == "int8" and not has_dot_products():
                continue
            warnings.warn(
                f"the {kernel} kernel is not exact on this CPU: a slower exact one is used",
                RuntimeWarning,
                stacklevel=2,
            )
        _remember(path, verdict)
    return frozenset([*verdict, "float64"])


def has_dot_products() -> bool:
    """Whether this CPU adds products of bytes in 32 bits, as far as torch can tell; else True."""
    try:
        known = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):  # an older torch
        return True
    return known.get("architecture") != "x86_64" or any(known.get(one, False) for one in DOTS)


def proves_itself(kernel: Kernel) -> bool:
    """Whether ``kernel`` equals the oracle on small networks and int64 sums on full-size layers."""
    try:
        return (
            all(_equals_oracle(kernel, seed) for seed in range(6))
            and all(
                _equals_sums(kernel, *shape)
                for shape in [(1, 64, 28, 4), (64, 128, 14, 16), (67, 33, 9, 3), (512, 64, 4, 1)]
            )
            and (kernel == "int8" or _keeps_24_bits(kernel))
        )
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return False  # the operator is absent, or takes other arguments, in this torch


def _equals_oracle(kernel: Kernel, seed: int) -> bool:
    program = _small_network(np.random.default_rng(seed))
    noise = np.random.default_rng(seed + 1000)
    images = noise.integers(0, 256, (3, *program.input_shape))
    images[1] = 255
    datapath = Datapath(program, frozenset([kernel, "float64"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        logits = datapath.run(images.transpose(0, 2, 3, 1).astype(np.uint8)).logits
    # The right answer of a slower kernel proves nothing about this one.
    if any(stage.sums is not None and stage.sums.fallen for stage in datapath.stages):
        return False
    return all(
        logits[n].tolist() == list(reference.run(program, images[n]).logits) for n in range(3)
    )


def _layer(
    noise: np.random.Generator, kind: Any, source: Shape, target: Shape, kernel: int, last: bool
) -> MacLayer:
    fan_in = source[0] * kernel**2 if kind == "conv" else int(np.prod(source))
    n_out = target[0]
    spec = HashSpec("xxh32", n_out, fan_in, max(1, n_out * fan_in // 4), int(noise.integers(99)))
    words = noise.integers(-127, 128, spec.real_weights).astype(np.int32)
    words[:: 1 + int(noise.integers(4))] = 127
    m = noise.integers(-3, 8, n_out).astype(np.int32) * (0 if last else 2048)
    s = np.full(n_out, 0 if last else 24, np.int32)
    b = noise.integers(-1000, 1000, n_out) * (1 if last else 1 << 18)
    window = Window.square(kernel, 1, kernel // 2) if kernel else None
    return MacLayer(
        kind, kind, source, target, window, spec, words, m, s, b.astype(np.int64), last=last,
        weight_scale=np.array([2.0**-7]), scale=2.0**-15, hi=255,
    )  # fmt: skip


def _small_network(noise: np.random.Generator) -> Program:
    c1, c2 = int(noise.integers(1, 9)), int(noise.integers(1, 18))
    layers: tuple[Layer, ...] = (
        _layer(noise, "conv", (c1, 7, 6), (c2, 7, 6), 3, False),
        PoolLayer("pool", (c2, 7, 6), (c2, 3, 3), Window.square(2, 2)),
        _layer(noise, "fc", (c2, 3, 3), (10, 1, 1), 0, True),
    )
    return Program.chain(load_config("default"), layers, (c1, 7, 6))


def _equals_sums(kernel: Kernel, channels: int, n_out: int, side: int, batch: int) -> bool:
    """A 3x3 convolution and a Linear of real sizes, extreme values, against int64 products."""
    noise = np.random.default_rng(channels)
    maps = noise.integers(0, 256, (batch, side, side, channels)).astype(np.uint8)
    maps[0] = 255
    tensor = torch.from_numpy(maps).permute(0, 3, 1, 2)
    source: Shape = (channels, side, side)
    conv = _layer(noise, "conv", source, (n_out, side, side), 3, False)
    full = _layer(noise, "fc", source, (n_out, 1, 1), 0, True)
    padded: Any = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # float64 products of 15-bit integers summed over < 2^20 terms are exact: BLAS speed, int truth.
    windows: Any = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))  # type: ignore[call-overload]
    columns = windows.reshape(batch * side * side, -1).astype(np.float64)
    expected_conv = columns @ conv.virtual_weights.T.astype(np.float64)
    flat = maps.transpose(0, 3, 1, 2).reshape(batch, -1).astype(np.float64)
    expected_full = flat @ full.virtual_weights.T.astype(np.float64)
    return _same(Accumulate(conv, 255, kernel)(tensor), expected_conv) and _same(
        Accumulate(full, 255, kernel)(tensor), expected_full
    )


def _keeps_24_bits(kernel: Kernel) -> bool:
    """Odd activations of 12 bits and odd sums near 2^23: bfloat16 and TF32 round both."""
    noise = np.random.default_rng(24)
    layer = _layer(noise, "conv", (7, 16, 16), (64, 16, 16), 3, False)
    odd = np.clip(layer.weights // 4, -30, 30) | 1
    layer = dataclasses.replace(layer, weights=odd.astype(np.int32))
    maps = (noise.integers(2048, 4096, (16, 16, 16, 7)) | 1).astype(np.int32)
    sums = Accumulate(layer, 4095, kernel)(torch.from_numpy(maps).permute(0, 3, 1, 2))
    truth = Accumulate(layer, 4095, "int64")(torch.from_numpy(maps).permute(0, 3, 1, 2))
    return np.array_equal(sums.astype(np.int64), truth)


def _same(found: NDArray[Any], expected: NDArray[np.float64]) -> bool:
    return np.array_equal(found.astype(np.float64).reshape(expected.shape), expected)


def _verdict_path() -> Path:
    facts = [VERSION, torch.__version__, np.__version__, numba.__version__, processor()]
    facts += [torch.backends.cpu.get_cpu_capability()]
    facts += [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(SWITCHES)]
    name = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    return cache_folder() / f"kernels-{name}.json"


def _remembered(path: Path) -> list[Kernel] | None:
    """An earlier verdict; None where there is none or the file is not as it was written."""
    try:
        content = parse_json(read_regular(path, MAX_TEXT))
        kernels, found = content["kernels"], content["digest"]
        if set(content) != {"kernels", "digest"} or found != digest([path.name, kernels]):
            return None
        return [kernel for kernel in FAST if kernel in kernels]
    except (OSError, ValueError, LookupError, TypeError, InputError):
        return None  # it costs a second to find it anew


def _remember(path: Path, verdict: list[Kernel]) -> None:
    # The name too: a verdict of another machine is none of this one.
    content = {"kernels": verdict, "digest": digest([path.name, verdict])}
    try:
        with replacing(path) as part:
            part.write_text(json.dumps(content))
    except OSError:
        return  # an unwritable cache costs a second at the next start, nothing else
