"""What compiles and what is refused, from compiling it: small networks around one part each.

Nothing here is trained: whether a network compiles depends on its layers, and on values only where
the table says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from hwsim import compile, load_config
from hwsim.errors import CompileError

#: Two maps of one shape, the second a convolution of the first -> one map.
Join = Callable[[Tensor, Tensor], Tensor]


class Joined(nn.Module):
    """A convolution, a second one behind it, and what joins both."""

    def __init__(self, join: Join) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head, self.join = nn.LazyLinear(3), join

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        logits: Tensor = self.head(self.join(x, self.second(x)).flatten(1))
        return logits


def _around(*parts: nn.Module) -> nn.Module:
    """Parts between a convolution and a classifier."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *parts, nn.Flatten(), nn.LazyLinear(3))


def _first(convolution: nn.Module) -> nn.Module:
    """A convolution on the image, with a classifier behind it."""
    return nn.Sequential(convolution, nn.Flatten(), nn.LazyLinear(3))


class Normalized(nn.Module):
    """Mean and deviation of each channel, in front of a padded convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.net = _first(nn.Conv2d(3, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.2, 0.2, 0.2])
        logits: Tensor = self.net((x - mean.view(-1, 1, 1)) / deviation.view(-1, 1, 1))
        return logits


IMAGE = (1, 8, 8)
#: Words for a part, a network with it, the shape of an input.
PARTS: list[tuple[str, Callable[[], nn.Module], tuple[int, ...]]] = [
    ("ReLU, ReLU6, Hardtanh", lambda: _around(nn.ReLU6()), IMAGE),
    ("Tanh, Sigmoid, GELU, SiLU, LeakyReLU, …", lambda: _around(nn.GELU()), IMAGE),
    ("BatchNorm behind a convolution", lambda: _around(nn.BatchNorm2d(4), nn.ReLU()), IMAGE),
    ("mean and deviation by channel", Normalized, (3, 8, 8)),
    ("Conv2d 5 × 1, stride 2 × 3", lambda: _first(nn.Conv2d(1, 4, (5, 1), (2, 3))), IMAGE),
    ("depthwise Conv2d (groups)", lambda: _around(nn.Conv2d(4, 4, 3, groups=4)), IMAGE),
    ("dilated Conv2d", lambda: _first(nn.Conv2d(1, 4, 3, dilation=2)), IMAGE),
    ("Conv1d on a series", lambda: _first(nn.Conv1d(1, 4, 3)), (1, 8)),
    ("Linear on a vector", lambda: nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)),
     (8,)),
    ("MaxPool2d with padding", lambda: _around(nn.ReLU(), nn.MaxPool2d(3, 2, 1)), IMAGE),
    ("AvgPool2d", lambda: _around(nn.AvgPool2d(2)), IMAGE),
    ("AvgPool2d with padding", lambda: _around(nn.AvgPool2d(3, 2, 1)), IMAGE),
    ("global average as the last layer",
     lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), IMAGE),
    ("x + f(x)", lambda: Joined(lambda x, y: torch.relu(x + y)), IMAGE),
    ("torch.cat of channels", lambda: Joined(lambda x, y: torch.cat([x, y], 1)), IMAGE),
    ("slices of channels", lambda: Joined(lambda x, y: x + torch.cat([y[:, 2:], y[:, :2]], 1)),
     IMAGE),
    ("LogSoftmax or Softmax at the end",
     lambda: nn.Sequential(_around(nn.ReLU()), nn.LogSoftmax(1)), IMAGE),
    ("two maps multiplied", lambda: Joined(lambda x, y: x * y), IMAGE),
    ("a sum that broadcasts", lambda: Joined(lambda x, y: x + y.mean((2, 3), True)), IMAGE),
    ("a sum of maps 2^20 apart", lambda: Joined(lambda x, y: x + y * 2**-20), IMAGE),
    ("a branch that leads nowhere", lambda: Joined(lambda x, y: x), IMAGE),
    ("channels that nothing reads", lambda: Joined(lambda x, y: x[:, 1:3] + y[:, 2:]), IMAGE),
    ("a matrix product of two maps", lambda: Joined(lambda x, y: x @ y), IMAGE),
    ("permute", lambda: Joined(lambda x, y: y.permute(0, 2, 3, 1)), IMAGE),
    ("PReLU with a slope a channel", lambda: _around(nn.PReLU(4)), IMAGE),
    ("GroupNorm, LayerNorm, InstanceNorm", lambda: _around(nn.GroupNorm(2, 4)), IMAGE),
    ("Softmax inside", lambda: _around(nn.Softmax(1)), IMAGE),
    ("Conv2d 13 × 13", lambda: _first(nn.Conv2d(1, 4, 13, padding=6)), IMAGE),
    ("padding_mode other than zeros",
     lambda: _first(nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect")), IMAGE),
    ("ConvTranspose2d", lambda: _first(nn.ConvTranspose2d(1, 4, 3)), IMAGE),
    ("adaptive pool that does not divide", lambda: _around(nn.AdaptiveAvgPool2d(3)), IMAGE),
    ("upsampling", lambda: _around(nn.Upsample(scale_factor=2)), IMAGE),
    ("LSTM, GRU, RNN", lambda: nn.LSTM(8, 3), (8, 8)),
    ("a map as the answer", lambda: nn.Sequential(nn.Conv2d(1, 4, 3)), IMAGE),
]  # fmt: skip


def _compiled(make: Callable[[], nn.Module], shape: tuple[int, ...], act_w: int = 8) -> list[str]:
    """Kinds of the layers that a network becomes. Raises CompileError."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        data = torch.rand(16, *shape)
        module = make().eval()
        with torch.no_grad():
            # Gives lazy layers their weights; a network that torch cannot run is no row here.
            module(data)
        config = load_config("default").replace(act_w=act_w)
        return [layer.kind for layer in compile(module, data, config).layers]


@cache
def _outcomes() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(words, layers) of what compiles, (words, line) of what is refused."""
    taken, refused = [], []
    parts = [(words, make, shape, 8) for words, make, shape in PARTS]
    wide = ("Tanh with 12-bit activations", lambda: _around(nn.Tanh()), IMAGE, 12)
    for words, make, shape, act_w in [*parts, wide]:
        try:
            taken.append((words, ", ".join(_compiled(make, shape, act_w))))
        except CompileError as error:
            refused.append((words, f"`{error}`".replace("|", "\\|")))
    return taken, refused


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"| {one} | {two} |" for one, two in [head, ("---", "---"), *rows])


def taken() -> str:
    """What compiles, and the layers of the engine that it becomes."""
    return _table(("in PyTorch", "layers of the engine"), _outcomes()[0])


def refused() -> str:
    """What does not compile, and the line that says so."""
    return _table(("in PyTorch", "refused with"), _outcomes()[1])
