"""Quantized files that other people's tools make of networks of the zoo: Brevitas, ONNX Runtime.

Brevitas wants older libraries than these, so it is installed beside them, in a folder of its own:

    pip install --no-deps --target FOLDER brevitas onnxoptimizer unfoldNd dependencies==2.0.1
    PYTHONPATH=FOLDER python -m tests.bench.real_files
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.models import zoo
from hwsim.models.datasets.dataset import load_dataset
from hwsim.models.residual import Block

#: Training images from which ranges are taken.
CALIBRATION = 256
#: Steps of 100 images by which a network gets used to few bits.
STEPS = {8: 0, 4: 40, 2: 120}
#: As Brevitas exports.
DIALECTS = ("qcdq", "qonnx")
F32 = NDArray[np.float32]


def training(network: str, count: int) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) in [0, 1] and labels."""
    data = load_dataset(zoo.card(network).dataset, "train").take(count)
    return torch.from_numpy(data.images).float() / 255, torch.from_numpy(data.labels)


def plain(network: str) -> nn.Sequential:
    """The trained network, batch norms folded into the convolutions before them."""
    return _folded(zoo.load(network).eval()).eval()


def _folded(layers: Iterable[nn.Module]) -> nn.Sequential:
    found: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            found[-1] = torch.nn.utils.fuse_conv_bn_eval(found[-1], layer)
        elif isinstance(layer, Block):
            inner = (layer.conv1, layer.norm1, layer.relu1, layer.conv2, layer.norm2)
            found.append(_Joined(_folded(inner), _folded(layer.shortcut), layer.relu2))
        elif not isinstance(layer, nn.Dropout):
            found.append(layer)
    return nn.Sequential(*found)


class _Joined(nn.Module):
    """Two branches over one map, added, and what reads the sum."""

    def __init__(self, branch: nn.Sequential, shortcut: nn.Sequential, behind: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut, self.behind = branch, shortcut, behind

    def forward(self, x: Tensor) -> Any:
        """The map behind the sum."""
        return self.behind(self.branch(x) + self.shortcut(x))


def brevitas(network: str, bits: int, dialect: str, folder: Path) -> Path:
    """A network with weights and activations of so many bits, the image's apart, as Brevitas
    exports it: ranges of 256 training images, then a few steps of training where bits are few.
    """
    targets = {one: folder / f"brevitas-{network}-{bits}-{one}.onnx" for one in DIALECTS}
    if targets[dialect].exists():
        return targets[dialect]
    from brevitas.export import export_onnx_qcdq, export_qonnx
    from brevitas.graph.calibrate import calibration_mode

    torch.manual_seed(0)
    model = _quantized(plain(network), bits)
    images, labels = training(network, max(CALIBRATION, 100 * STEPS[bits]))
    with torch.no_grad(), calibration_mode(model):
        model(images[:CALIBRATION])
    _accustomed(model.train(), images, labels, STEPS[bits])
    model.eval()
    with torch.no_grad():  # both: one network, two dialects
        export_onnx_qcdq(model, args=images[:1], export_path=str(targets["qcdq"]))
        export_qonnx(model, args=images[:1], export_path=str(targets["qonnx"]))
    return targets[dialect]


def _accustomed(model: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """Trained a little, in place."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for step in range(steps):
        part = slice(100 * step, 100 * step + 100)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
        optimizer.step()


def _quantized(layers: nn.Sequential, bits: int) -> nn.Sequential:
    """Layers of Brevitas in their place; whatever is read by weights or a function is quantized."""
    import brevitas.nn as qnn
    from brevitas.quant import Uint8ActPerTensorFloat

    image = qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=False)
    return nn.Sequential(image, *_layers(layers, bits))


def _layers(layers: nn.Sequential, bits: int) -> Iterator[nn.Module]:
    import brevitas.nn as qnn
    from brevitas.quant import (
        Int8WeightPerChannelFloat,
        Int8WeightPerTensorFloat,
        Uint8ActPerTensorFloat,
    )

    # The last layer hands out its sums, which have one scale: rows have their own in convolutions.
    rows: dict[str, Any] = {
        "weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": bits,
    }  # fmt: skip
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            made = qnn.QuantConv2d(
                layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,
                layer.padding, groups=layer.groups, bias=True, **rows,
            )  # fmt: skip
            yield _filled(made, layer)
        elif isinstance(layer, nn.Linear):
            made = qnn.QuantLinear(
                layer.in_features, layer.out_features, True, weight_bit_width=bits,
                weight_quant=Int8WeightPerTensorFloat,
            )  # fmt: skip
            yield _filled(made, layer)
        elif isinstance(layer, _Joined):
            # Both that are added are signed, and lose a bit to their sign.
            ends = [qnn.QuantIdentity(bit_width=max(bits, 4)) for _ in layer.shortcut]
            branch = [*_layers(layer.branch, bits), qnn.QuantIdentity(bit_width=max(bits, 4))]
            shortcut = nn.Sequential(*_layers(layer.shortcut, bits), *ends)
            yield _Joined(nn.Sequential(*branch), shortcut, qnn.QuantReLU(bit_width=bits))
        elif isinstance(layer, nn.ReLU):
            yield qnn.QuantReLU(bit_width=bits)
        elif isinstance(layer, nn.Tanh):
            yield qnn.QuantIdentity(bit_width=max(bits, 4))
            yield qnn.QuantTanh(bit_width=bits)
        elif isinstance(layer, nn.AvgPool2d):
            yield layer
            yield qnn.QuantIdentity(bit_width=bits)
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            yield layer
            yield qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, bit_width=max(bits, 4))
        else:
            yield layer


def _filled(made: nn.Module, layer: nn.Conv2d | nn.Linear) -> nn.Module:
    with torch.no_grad():
        made.weight.copy_(layer.weight)  # type: ignore[operator, union-attr]
        bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
        made.bias.copy_(bias)  # type: ignore[operator, union-attr]
    return made


class _Images:
    """What ONNX Runtime's calibration asks for its images."""

    def __init__(self, name: str, images: F32) -> None:
        self._left: Iterator[dict[str, F32]] = iter([{name: image[None]} for image in images])

    def get_next(self) -> dict[str, F32] | None:
        return next(self._left, None)


def onnxruntime(
    network: str, operators: str, per_channel: bool, folder: Path, *, batched: bool = False
) -> Path:
    """ONNX Runtime's static quantization, unsigned activations and signed weights of 8 bits.

    operators: QDQ or QOperator. batched: takes any number of images, not one.
    """
    rows = ("channel" if per_channel else "tensor") + ("-batched" if batched else "")
    target = folder / f"onnxruntime-{network}-{operators}-{rows}.onnx"
    if target.exists():
        return target
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    images = training(network, CALIBRATION)[0]
    many = "-batched" if batched else ""
    whole, ready = folder / f"{network}{many}.onnx", folder / f"{network}{many}-ready.onnx"
    open_axes = {"image": {0: "n"}, "logits": {0: "n"}} if batched else None
    module = zoo.load(network).eval()
    torch.onnx.export(
        module, (images[:1],), str(whole), dynamo=False, opset_version=17,
        input_names=["image"], output_names=["logits"], dynamic_axes=open_axes,
    )  # fmt: skip
    quant_pre_process(str(whole), str(ready))
    quantize_static(
        str(ready), str(target), _Images("image", images.numpy()),
        quant_format=QuantFormat[operators], activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, per_channel=per_channel,
    )  # fmt: skip
    return target
