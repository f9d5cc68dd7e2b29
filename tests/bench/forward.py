"""Bit-accurate forward pass against PyTorch float32 inference of the same network."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

import hwsim
from hwsim.engine.module import Engine
from hwsim.models.architectures import vgg16
from hwsim.models.mobile import mobilenet
from hwsim.models.residual import resnet20
from hwsim.networks.open import open_network
from hwsim.numbers.config import load_config
from tests.bench.measure import Line, seconds


def _float_forms(module: nn.Module, images: Tensor) -> dict[str, object]:
    """The float network contiguous and channels_last; the better one is the peer.

    Batch norms are folded into the convolutions before them, as they are in the engine.
    """
    module = fuse(deepcopy(module)).eval()
    last = deepcopy(module).to(memory_format=torch.channels_last)
    images_last = images.contiguous(memory_format=torch.channels_last)
    return {
        "contiguous": lambda: module(images),
        "channels_last": lambda: last(images_last),
    }


def _compare(
    name: str, engine: Engine, module: nn.Module, images: Tensor, rounds: int, goal: str = ">= 1.5"
) -> Line:
    with torch.inference_mode():
        tasks = {"engine": lambda: engine(images), **_float_forms(module, images)}
        taken = seconds(tasks, rounds)
    ours = len(images) / taken.pop("engine")
    form = min(taken, key=lambda key: taken[key])
    peer = len(images) / taken[form]
    operations = 2 * sum(layer.macs for layer in engine.program.mac_layers)
    rate = ours * operations / 1e9
    share = rate / int8_peak()
    note = f"{rate:.0f} GOP/s, {100 * share:.0f}% of the int8 GEMM peak; "
    note += f"batch {len(images)}, {torch.get_num_threads()} threads"
    return Line(name, ours, peer, "img/s", ours / peer, f"PyTorch float32 {form}", goal, note)


_PEAK: dict[str, float] = {}


def int8_peak() -> float:
    """GOP/s of a large int8 matrix product on this machine, measured once per run."""
    size = 2048
    a = torch.randint(-128, 128, (size, size), dtype=torch.int8)
    b = torch.randint(-128, 128, (size, size), dtype=torch.int8)
    return _peak("int8", size, lambda: torch._int_mm(a, b))


def float32_peak() -> float:
    """The same in float32."""
    a = torch.rand(2048, 2048)
    return _peak("float32", len(a), lambda: a @ a)


def _peak(kind: str, size: int, product: Callable[[], Tensor]) -> float:
    if kind not in _PEAK:
        _PEAK[kind] = 2 * size**3 / seconds({kind: product})[kind] / 1e9
    return _PEAK[kind]


def mnist() -> Line:
    """mnist-cnn-h16, 8 bits, batch 256."""
    network = open_network("mnist-cnn-h16")
    images = torch.rand(256, 1, 28, 28)
    return _compare("forward-mnist-h16", Engine(network.program), network.module, images, 9)


def random_vgg16() -> tuple[nn.Module, Engine]:
    """A VGG-16 shape for CIFAR-10 with random weights, float and compiled at 8 bits."""
    torch.manual_seed(0)
    module = vgg16(batch_norm=False)
    for layer in module:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # He's gain, or the signal would die out over 16 layers and leave nothing to compute.
            nn.init.kaiming_normal_(layer.weight)
    module.eval()
    return module, Engine(hwsim.compile(module, torch.rand(16, 3, 32, 32)))


def vgg() -> Line:
    """VGG-16 shape, 8 bits, batch 64."""
    module, engine = random_vgg16()
    return _compare("forward-vgg16", engine, module, torch.rand(64, 3, 32, 32), 3)


def random_network(build: Callable[[], nn.Module]) -> tuple[nn.Module, Engine]:
    """A CIFAR-10 shape of random weights, with the statistics that random images leave behind."""
    torch.manual_seed(0)
    module = build().train()
    with torch.no_grad():
        for _ in range(20):
            module(torch.rand(64, 3, 32, 32))
    module.eval()
    # Its maps and instructions are more than the default machine holds; their speed is the same.
    config = load_config("default").replace(act_depth=65536, prog_depth=128)
    return module, Engine(hwsim.compile(module, torch.rand(64, 3, 32, 32), config=config))


def residual() -> Line:
    """ResNet-20 shape, 8 bits, batch 256."""
    module, engine = random_network(resnet20)
    return _compare("forward-resnet20", engine, module, torch.rand(256, 3, 32, 32), 5, ">= 3")


def mobile() -> Line:
    """The MobileNet shape of the zoo, 8 bits, batch 256."""
    module, engine = random_network(mobilenet)
    return _compare("forward-mobilenet", engine, module, torch.rand(256, 3, 32, 32), 5, ">= 2")
