"""Single layers of the shapes in which kernels change their way, with operands for them.

Their sums are compared with integers of NumPy, not with the oracle, so that channels and fan-ins
beyond every blocking are affordable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, Window

#: Multiply-accumulates of one batch: some hundredths of a second in NumPy's integers.
BUDGET = 12_000_000
#: Around the sizes in which libraries cut channels, outputs, fan-ins and batches.
EDGES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 129, 255, 257]
BATCHES = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 70]

Draw = Any


@dataclass(frozen=True)
class LayerCase:
    """A layer and a batch for it, uint8 or int32 (N, C, H, W), of any strides."""

    config: EngineConfig
    layer: MacLayer
    maps: Tensor

    def truth(self) -> NDArray[np.int64]:
        """Sums (N, OH, OW, n_out) by NumPy's integer products, window by window."""
        layer, maps = self.layer, self.maps.numpy().astype(np.int64)
        words = layer.virtual_weights.astype(np.int64)
        if layer.window is None:
            sums = maps.reshape(len(maps), -1) @ words.T
            return sums.reshape(len(maps), 1, 1, -1)
        (k_h, k_w), (s_h, s_w) = layer.window.kernel, layer.window.stride
        top, left, bottom, right = layer.window.padding
        sides = ((0, 0), (0, 0), (top, bottom), (left, right))
        padded = np.pad(maps, sides, constant_values=layer.fill)
        _, out_h, out_w = layer.out_shape
        seen_by, each = layer.in_shape[0] // layer.groups, layer.n_out // layer.groups
        weight = words.reshape(-1, seen_by, k_h, k_w)
        sums = np.zeros((len(maps), out_h, out_w, layer.n_out), np.int64)
        for group in range(layer.groups):
            rows = slice(group * each, (group + 1) * each)
            planes = padded[:, group * seen_by : (group + 1) * seen_by]
            for dy, dx in np.ndindex(k_h, k_w):
                seen = planes[:, :, dy : dy + s_h * out_h : s_h, dx : dx + s_w * out_w : s_w]
                seen = seen[:, :, :out_h, :out_w]
                part = np.einsum("nchw,oc->nhwo", seen, weight[rows, :, dy, dx], optimize=False)
                sums[..., rows] += part
        return sums


def _sizes(most: int) -> st.SearchStrategy[int]:
    most = max(1, most)
    return st.sampled_from([n for n in EDGES if n <= most]) | st.integers(1, min(most, 300))


@st.composite
def _view(draw: Draw, maps: NDArray[Any]) -> Tensor:
    """The maps (N, H, W, C) as (N, C, H, W): channels last as the engine's, or any other view."""
    count = len(maps)
    kind = draw(st.sampled_from(["last", "first", "sliced", "reversed", "strided", "expanded"]))
    nchw = torch.from_numpy(maps).permute(0, 3, 1, 2)
    if kind == "first":
        return nchw.contiguous()
    if kind == "sliced":
        wide = torch.from_numpy(np.pad(maps, ((1, 2), (0, 1), (1, 0), (1, 1)), constant_values=1))
        return wide[1:-2, :-1, 1:, 1:-1].permute(0, 3, 1, 2)
    if kind == "reversed":  # stored image dimension last
        return nchw.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    if kind == "strided":
        return nchw.repeat_interleave(2, 0)[::2]
    return nchw[:1].expand(count, -1, -1, -1) if kind == "expanded" else nchw


@st.composite
def _window(draw: Draw, sides: tuple[int, int]) -> Window:
    """Mostly square, up to 11 a side, with any stride and four paddings of their own."""
    if draw(st.booleans()):
        kernel = (draw(st.sampled_from([1, 3, 5, 7])),) * 2
        stride = (draw(st.integers(1, 2)),) * 2
    else:
        kernel = (draw(st.integers(1, 11)), draw(st.integers(1, 11)))
        stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    before = [draw(st.integers(0, k - 1)) for k in kernel]
    least = [max(0, k - n - b) for k, n, b in zip(kernel, sides, before, strict=True)]
    behind = [draw(st.integers(low, k - 1)) for low, k in zip(least, kernel, strict=True)]
    return Window(kernel, stride, (before[0], before[1], behind[0], behind[1]))


@st.composite
def single_layers(draw: Draw, bits: int | None = None) -> LayerCase:
    """A convolution or fully connected layer that the engine accepts, with 1 … 70 images."""
    width = bits or draw(st.sampled_from([8, 8, 8, 4, 9, 16]))
    config = load_config("default").with_bits(width)
    side = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 33])
    height, broad = draw(side), draw(side)
    batch = draw(st.sampled_from(BATCHES))
    window, out, size, groups, fill = None, (1, 1), height * broad, 1, 0
    if draw(st.sampled_from([True, True, True, False])):
        window = draw(_window((height, broad)))
        out, size = window.out_sides(height, broad), window.size
        fill = draw(st.just(0) | st.integers(0, config.act_max))
        # depthwise: one group a channel, one of the kernel's windows an output
        groups = draw(st.sampled_from([1, 1, 1, 2, 3, 8, 0]))
    work = batch * size * out[0] * out[1]
    if groups == 0:
        groups = draw(_sizes(BUDGET // work))
        seen = 1
    else:
        seen = draw(_sizes(BUDGET // (work * groups)))
    outputs = groups * draw(_sizes(min(300, BUDGET // (work * seen)) // groups))
    channels, fan_in = seen * groups, seen * size
    noise = np.random.default_rng(draw(st.integers(0, 2**16 - 1)))
    top = config.wgt_max
    style = draw(st.sampled_from(["noise", "extreme", "positive", "sparse"]))
    words = noise.integers(-top, top + 1, outputs * fan_in)
    if style == "extreme":
        words = noise.choice([-top, top], outputs * fan_in)
    elif style == "positive":
        words = np.full(outputs * fan_in, top)
    elif style == "sparse":
        words[noise.random(outputs * fan_in) < 0.9] = 0
    none = np.zeros(outputs, np.int32)
    layer = MacLayer(
        "layer", "conv" if window else "fc", (channels, height, broad), (outputs, *out), window,
        HashSpec("dense", outputs, fan_in, outputs * fan_in), words.astype(np.int32), none, none,
        none.astype(np.int64), last=True, weight_scale=np.ones(1), scale=2.0**-width,
        hi=config.act_max, fill=fill, groups=groups,
    )  # fmt: skip
    shape = (batch, height, broad, channels)
    dtype = np.uint8 if width <= 8 else np.int32
    maps = noise.integers(0, config.act_max + 1, shape).astype(dtype)
    if draw(st.booleans()):
        maps[0] = config.act_max
    return LayerCase(config, layer, draw(_view(maps)))
