"""What the engine cannot run is refused in one line: module path, reason, remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwsim.compiler.compiler import compile
from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig, load_config

DEFAULT = load_config("default")
IMAGES = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def refusal(module: Any, x: Tensor, config: EngineConfig = DEFAULT) -> str:
    with pytest.raises(CompileError) as caught:
        compile(module, x, config)
    message = str(caught.value)
    assert "\n" not in message
    return message


def ready(module: nn.Module, x: Tensor) -> nn.Module:
    """With the weights of its lazy layers, and so a network that torch runs."""
    torch.manual_seed(0)
    with torch.no_grad():
        module.eval()(x[:2])
    return module


def exported(module: nn.Module, x: Tensor) -> Any:
    return torch.export.export(module, (x,))


class Around(nn.Module):
    """A convolution, what is tried, and a classifier; the part stands at ``inner.part``."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.LazyLinear(3)
        self.inner = nn.ModuleDict({"part": part})

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.inner["part"](torch.relu(self.conv(x))).flatten(1))
        return logits


class Calls(nn.Module):
    """A function of a map and of a convolution of it."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.function, self.head = function, nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.one(x))
        logits: Tensor = self.head(self.function(x, self.two(x)).flatten(1))
        return logits


LARGER = "the engine makes no map larger: enlarge images before the network"
ZEROS = r"and with zeros: give the layer padding=… and padding_mode='zeros'"
AT_THE_END = "only at the end it can be dropped.*: remove it"
STATE = "the engine has no state between steps: use Conv1d"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (nn.Upsample(scale_factor=2), LARGER),
        (nn.Upsample(scale_factor=2, mode="bilinear"), LARGER),
        (nn.UpsamplingNearest2d(scale_factor=2), LARGER),
        (nn.ConvTranspose2d(4, 4, 3), LARGER),
        (nn.PixelShuffle(2), LARGER),
        (nn.ReflectionPad2d(1), ZEROS),
        (nn.ReplicationPad2d(1), ZEROS),
        (nn.CircularPad2d(1), ZEROS),
        (nn.ConstantPad2d(1, 0.5), ZEROS),
        (nn.Softmax(1), AT_THE_END),
        (nn.Unfold(2), "use a convolution, which walks over windows by itself"),
        (nn.LayerNorm([4, 8, 8]), "use BatchNorm2d"),
        (nn.AdaptiveMaxPool2d(3), "windows divide the map"),
    ],
)
@pytest.mark.parametrize("way", ["module", "exported program"])
def test_a_module_is_refused_by_its_path_with_a_remedy(
    part: nn.Module, expected: str, way: str
) -> None:
    network = ready(Around(part), IMAGES)
    message = refusal(network if way == "module" else exported(network, IMAGES), IMAGES)
    assert re.match(rf"inner\.part: \w+ cannot run on the engine: .*{expected}", message)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, y: F.interpolate(y, scale_factor=2), LARGER),
        (lambda x, y: F.conv_transpose2d(y, torch.ones(4, 2, 3, 3)), LARGER),
        (lambda x, y: F.pad(y, (1, 1, 1, 1), mode="reflect"), ZEROS),
        (lambda x, y: F.softmax(y, 1), AT_THE_END),
        (lambda x, y: torch.where(x > 0.1, x, y), "nothing is decided by comparing: use functions"),
        (lambda x, y: y[:, [2, 0, 1, 3]], "take neighbouring channels"),
        (lambda x, y: x * y, "multiplies two maps, .*: add or concatenate them"),
        (lambda x, y: x * y.mean((2, 3), True), "multiplies maps of shapes .*: leave gates"),
        (lambda x, y: x + y.mean((2, 3), True), "which broadcasts: .*: give both the same"),
        (lambda x, y: x + y * 2**-20, "ranges differ by a factor of .*: scale them alike, or"),
        (lambda x, y: x, "is not used by what the network returns: remove this dead branch"),
    ],
)
@pytest.mark.parametrize("way", ["module", "exported program"])
def test_a_function_is_refused_by_its_name_with_a_remedy(
    function: Any, expected: str, way: str
) -> None:
    network = ready(Calls(function), IMAGES)
    message = refusal(network if way == "module" else exported(network, IMAGES), IMAGES)
    assert re.match(rf"\w+: .*{expected}", message)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.cell, self.head = kind(8, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.cell(x)[0][:, -1])
        return logits


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("way", ["module", "exported program"])
def test_state_between_steps_is_refused(kind: type[nn.Module], way: str) -> None:
    x = torch.rand(4, 5, 8)
    network = ready(Recurrent(kind), x)
    message = refusal(network if way == "module" else exported(network, x), x)
    assert re.match(rf"cell: \w+ cannot run on the engine: {STATE}", message)


class Looked(nn.Module):
    """Words by their numbers, which float data holds where somebody forces it."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(10, 4), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.table(x).flatten(1))
        return logits


def test_an_embedding_is_refused_with_the_integers_that_it_reads() -> None:
    words = torch.randint(10, (8, 8))
    message = refusal(Looked().eval(), words)
    assert message.endswith(
        "got int64: convert it as in training, pixels by x / 255; an Embedding stays outside: "
        "compile what stands behind it"
    )


class Cell(nn.Module):
    """A loop whose end depends on the data: the graph of it would be a cycle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        while x.sum() > 0:
            x = self.conv(x)
        logits: Tensor = self.head(x.flatten(1))
        return logits


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(8, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = self.one(x) + self.one(y)
        return logits


def test_a_cycle_is_refused() -> None:
    message = refusal(Cell().eval(), IMAGES)
    assert message.startswith("Cell: cannot be traced")
    assert message.endswith("write forward() without control flow that depends on the data")


def test_two_inputs_are_refused() -> None:
    x = torch.rand(8, 8)
    message = refusal(Two().eval(), x)
    remedy = ": concatenate them, and let forward() take slices of channels"
    assert message == f"Two: forward() must take exactly one tensor, this one takes 2{remedy}"
    program = torch.export.export(Two().eval(), (x, x))
    expected = f"the exported program takes 2 inputs: the engine takes exactly one tensor{remedy}"
    assert refusal(program, x) == expected


def test_a_table_of_twelve_bits_is_refused() -> None:
    network = ready(Around(nn.Tanh()), IMAGES)
    message = refusal(network, IMAGES, DEFAULT.with_bits(12))
    assert message.startswith("inner.part: needs a table, which activations of up to 8 bits have")
    assert message.endswith("use at most 8 bits, or ReLU")


def test_maps_that_do_not_fit_say_which_and_where_and_how_much() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3),
    ).eval()  # fmt: skip
    lines = 64 * 96 * 96 // DEFAULT.cols
    message = refusal(network, torch.rand(2, 3, 96, 96))
    assert message == (
        f"2: the feature maps alive there need {2 * lines} lines of the activation memory, all of "
        f"them {2 * lines} where they stand, configuration default has {DEFAULT.act_depth}, "
        f"{2 * lines - DEFAULT.act_depth} too few: use smaller images, or stride and pool earlier, "
        "or choose a configuration with a larger ACT_DEPTH; of these maps that of 0 (64, 96, 96) "
        f"takes {lines}, that of 2 (64, 96, 96) takes {lines}"
    )
