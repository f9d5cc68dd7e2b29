"""torch.nn.Module + calibration data -> Program: trace, fold, choose scales, quantize, prove."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from hwsim.compiler.folding import folded
from hwsim.compiler.fx_trace import trace
from hwsim.compiler.graph import Graph
from hwsim.compiler.grouping import group
from hwsim.compiler.lowering import lowered
from hwsim.compiler.naming import uniquely_named
from hwsim.compiler.operations import as_map
from hwsim.compiler.preparing import unwrapped
from hwsim.compiler.rounding import UnevenChannelsWarning, channel_loss
from hwsim.compiler.scales import ExactNumbers, image_numbers
from hwsim.compiler.stages import StagePlan
from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.program.wires import Input, image_first


def compile(
    module: nn.Module | ExportedProgram,
    calibration: Tensor,
    config: EngineConfig | str = "default",
    *,
    provenance: dict[str, Any] | None = None,
) -> Program:
    """Compile a trained network for the engine.

    Parameters
    ----------
    module : torch.nn.Module or torch.export.ExportedProgram
        A graph of layers from one tensor to a vector, in any of torch's spellings: Linear, Conv2d,
        Conv1d and their hashed versions, batch norm and other constants by channel, functions of
        single values, max and average pools, sums, concatenations and slices of channels. A module
        is left as it was. DataParallel, AveragedModel and what torch.compile gives are looked
        through; pruned and parametrized layers have the weights that they compute. Rows of a dense
        layer have steps of their own, unless the module has an attribute ``one_binary_point`` that
        is true, as the papers' networks do. A softmax at
        the end is dropped, which ``provenance["notes"]`` says.
    calibration : torch.Tensor
        Float data from the training distribution: images (N, C, H, W), series (N, C, L) or vectors
        (N, F). Scales are chosen from it. Within [0, 1], that is the range of the input; else the
        range is that of the data.
    config : EngineConfig or str
        The engine, or the name of a shipped configuration.
    provenance : dict, optional
        Where the network came from; kept in the image.

    Returns
    -------
    Program
        Checked, and the same for the same arguments.

    Raises
    ------
    CompileError
        Naming the module path, for anything that the engine cannot run exactly.

    Warns
    -----
    UnevenChannelsWarning
        Where channels of one layer differ so much that its one binary point loses some of them.
    """
    engine = load_config(config) if isinstance(config, str) else config
    data = checked(calibration)
    plan, image = planned(trace(module, data), data, engine, has_one_point(module))
    program = assemble(plan, image, engine, provenance=provenance)
    for stage, layer in zip(plan.mac_stages, program.mac_layers, strict=True):
        if (loss := channel_loss(stage, layer, engine)).is_uneven:
            warnings.warn(loss.told(layer.name), UnevenChannelsWarning, stacklevel=2)
    return program


def has_one_point(module: nn.Module | ExportedProgram) -> bool:
    """Whether a module asks for one binary point a layer: its ``one_binary_point`` is true."""
    inner = unwrapped(module) if isinstance(module, nn.Module) else module
    return getattr(inner, "one_binary_point", False) is True


def planned(
    graph: Graph, data: Tensor, config: EngineConfig, one_point: bool = False
) -> tuple[StagePlan, ExactNumbers]:
    """The stages of a traced network, and what the codes of its input stand for.

    one_point: whether all rows of a dense layer share one binary point.
    """
    image = image_numbers(data, config)
    low, high = (float((code - image.zero) * image.scale) for code in (0, config.act_max))
    graph, notes = folded(graph)
    plan = group(graph, config.act_max, low, high, notes)
    return dataclasses.replace(plan, one_point=one_point), image


def assemble(
    plan: StagePlan,
    image: ExactNumbers,
    config: EngineConfig,
    *,
    like: Program | None = None,
    provenance: dict[str, Any] | None = None,
) -> Program:
    """The checked Program of a plan.

    like: a Program of the same stages with other weights, whose scales are taken; without one they
    are chosen for the least error.
    """
    # Without a copy of the image in front, which no stage asked for.
    same = like.layers[len(like.layers) - len(plan.stages) :] if like else None
    layers, wires = lowered(plan, image, config, same)
    about = dict(provenance or {})
    if plan.notes:
        about["notes"] = [*about.get("notes", []), *plan.notes]
    source = Input(as_map(plan.input.shape), image.scale, image.zero)
    whole = image_first(source.shape, uniquely_named(layers), wires)
    program = Program.graph(config, *whole, source, about)
    check(program)
    return program


def checked(data: Tensor) -> Tensor:
    """Calibration data as float32 on the CPU. Raises CompileError if it is none."""
    plain = isinstance(data, Tensor) and data.layout == torch.strided and not data.is_quantized
    if not plain or data.ndim not in (2, 3, 4) or not data.is_floating_point():
        remedy = ""
        if plain and not data.is_floating_point() and not data.is_complex():
            remedy = (
                f", got {str(data.dtype).removeprefix('torch.')}: convert it as in training, "
                "pixels by x / 255; an Embedding stays outside: compile what stands behind it"
            )
        raise CompileError(
            f"calibration must be a float tensor of shape (N, C, H, W), (N, C, L) or (N, F){remedy}"
        )
    if data.numel() == 0:
        raise CompileError(f"calibration holds no images: its shape is {tuple(data.shape)}")
    data = data.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(data).all()):
        raise CompileError("calibration images contain NaN or infinity")
    return data
