"""`hwsim export`: a compiled network as a quantized graph of other people's tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.options import bits_option, config_option, loading, message_console
from hwsim.files.shown import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwsim.engine.module import Engine
    from hwsim.program.program import Program


@click.command("export")
@click.argument("model")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["qcdq", "qonnx"]),
    required=True,
    help="qcdq: QuantizeLinear, Clip, DequantizeLinear, for any ONNX runtime; qonnx: Quant.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to make  [default: MODEL.FORMAT.onnx]",
)
@config_option
@bits_option
@click.option(
    "--samples",
    type=click.IntRange(0),
    default=16,
    show_default=True,
    help="Images on which the file's runtime is compared with the engine, if it is installed.",
)
def command(
    model: str,
    format_name: str,
    output: Path | None,
    config: str | None,
    bits: int | None,
    samples: int,
) -> None:
    """Write MODEL, compiled, as an ONNX graph with the engine's integers in it.

    MODEL: a network of the zoo, the path of one that hwsim train wrote, or an .hne image. Weights
    that share words are written out as dense integers.

    \b
    Examples:
      hwsim export mnist-cnn-h16 --format qcdq -o h16.onnx
      hwsim export h16.hne --format qonnx -o h16.qonnx.onnx --samples 4
    """
    with loading(message_console(), "exporting") as on_progress:
        from hwsim.engine.module import Engine
        from hwsim.exporter.check import compare
        from hwsim.exporter.graph import build
        from hwsim.files.output import prepare_json_path, write_output
        from hwsim.networks.open import open_program

        stem = Path(model.rstrip("/")).name
        stem = stem.removesuffix(".hne").removesuffix(".safetensors")
        target = prepare_json_path(output or Path(f"{stem}.{format_name}.onnx"))
        program = open_program(model, config, bits, on_progress)
        graph = build(program, format_name)
        what, found = "", []
        if samples:
            engine = Engine(program)
            codes, what = _images(engine, program, samples, on_progress)
            expected = engine.answer(codes)
            found = compare(program, graph, format_name, codes.transpose(0, 3, 1, 2), expected)
        data = graph.SerializeToString(deterministic=True)
        write_output(target, data)
    weights = sum(layer.spec.virtual_weights for layer in program.mac_layers)
    say(
        f"{target}: {len(graph.graph.node)} nodes, {weights:,} weights of "
        f"{program.config.wgt_w} bits, {len(data):,} bytes"
    )
    for one in found:
        say(f"on {what}, {one}")
    if samples and not found:
        runtime = "onnxruntime" if format_name == "qcdq" else "qonnx"
        remedy = "pip install 'hwsim[runtimes]'"
        say(f"not compared with the engine: {runtime} is not installed ({remedy})")


def _images(
    engine: Engine, program: Program, samples: int, on_progress: Any
) -> tuple[NDArray[Any], str]:
    """Codes (N, H, W, C) to compare on, and what they are."""
    import numpy as np

    from hwsim.models.datasets.dataset import load_dataset
    from hwsim.networks.open import pixels

    name = program.provenance.get("dataset")
    if isinstance(name, str):
        test = load_dataset(name, "test", on_progress=on_progress).take(samples)
        return engine.grid(pixels(test)), f"{len(test)} test images of {name}"
    channels, height, width = program.input_shape
    shape = (samples, height, width, channels)
    codes = np.random.default_rng(0).integers(0, program.config.act_max + 1, shape)
    kind = np.uint8 if program.config.act_w <= 8 else np.uint16
    return codes.astype(kind), f"{samples} random images"
