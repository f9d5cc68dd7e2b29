"""What a program is, for people: the content of ``hwsim rom show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hwsim.numbers.fixedpoint import clog2
from hwsim.program.layers import MacLayer, PoolLayer, binary_point, is_last
from hwsim.program.program import Program

if TYPE_CHECKING:
    from rich.console import Group


def describe(program: Program) -> dict[str, Any]:
    """Layers, sizes, memory in bits, provenance and history; plain JSON values.

    ``memory_bits``: what the network's weights cost as ``dense`` words, as real weights with
    stored indices (``index_sram``: ceil(log2 K) + 1 bits per hashed virtual weight), and
    as real weights whose indices are computed (``hash``): docs/architecture.md, Hashing.
    """
    layers = [_layer(layer, program.config.wgt_w) for layer in program.layers]
    weight_bits = sum(row["weight_bits"] for row in layers)
    peak = program.memory_peak
    return {
        "config": program.config.model_dump(),
        "input_shape": list(program.input_shape),
        "classes": program.classes,
        "act_lines": {"peak": peak.lines, "least": peak.least},
        "layers": layers,
        "memory_bits": {
            "dense": sum(row["dense_bits"] for row in layers),
            "index_sram": weight_bits + sum(row["index_bits"] for row in layers),
            "hash": weight_bits,
        },
        "provenance": program.provenance,
        "history": list(program.history),
    }


def _layer(layer: Any, wgt_w: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": layer.name,
        "kind": layer.kind,
        "in_shape": list(layer.in_shape),
        "out_shape": list(layer.out_shape),
        "window": _window(layer),
        "weight_bits": 0,
        "index_bits": 0,
        "dense_bits": 0,
    }
    if isinstance(layer, PoolLayer):
        return row
    row |= {"scale": layer.scale, "zero": layer.zero, "last": is_last(layer)}
    if not isinstance(layer, MacLayer):
        return row
    spec = layer.spec
    index_w = 0 if spec.scheme == "dense" else clog2(spec.real_weights) + 1
    return row | {
        "groups": layer.groups,
        "scheme": spec.scheme,
        "virtual_weights": spec.virtual_weights,
        "real_weights": spec.real_weights,
        "rate": spec.rate,
        "seed": spec.seed,
        "hash_banks": spec.hash_banks,
        "weight_scale": layer.weight_scale.tolist(),
        "weight_bits": spec.real_weights * wgt_w,
        "index_bits": spec.virtual_weights * index_w,
        "dense_bits": spec.virtual_weights * wgt_w,
    }


def render(description: dict[str, Any]) -> Group:
    """The result of ``describe`` as tables for ``rich.print``."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    config, memory = description["config"], description["memory_bits"]
    blank = Text("")
    head = Text(
        f"{_shape(description['input_shape'])} -> {description['classes']} classes, for "
        f"{config['name']}: {config['rows']}x{config['cols']} array, {config['banks']} banks,\n"
        f"{config['act_w']}-bit activations, {config['wgt_w']}-bit weights, "
        f"index mode {config['index_mode']}\n"
        f"feature maps: {description['act_lines']['peak']:,} of {config['act_depth']:,} lines, "
        f"{description['act_lines']['least']:,} at least"
    )

    # The input of a layer mostly is the output above it; so the table fits 80 columns. Step and
    # zero are of the output: a code a is worth (a - zero) steps.
    layers = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("layer", "kind", "output", "hash"):
        layers.add_column(column, no_wrap=column != "layer")
    for column in ("K", "rate", "step", "zero", "weight\nkbit", "index\nkbit"):
        layers.add_column(column, justify="right", no_wrap=True)
    for row in description["layers"]:
        layers.add_row(*map(Text, _cells(row)))

    bits = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    bits.add_column("weight memory")
    bits.add_column("bits", justify="right")
    bits.add_column("of dense", justify="right")
    labels = {"dense": "dense", "index_sram": "shared, indices stored", "hash": "shared, hashed"}
    for key, label in labels.items():
        share = f"{memory[key] / memory['dense']:.1%}" if memory["dense"] else "-"
        bits.add_row(Text(label), Text(f"{memory[key]:,}"), Text(share))

    origin = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    origin.add_column("provenance")
    origin.add_column("")
    for key, value in description["provenance"].items():
        origin.add_row(Text(_value(key)), Text(_value(value)))
    for number, step in enumerate(description["history"], 1):
        origin.add_row(Text(f"rewrite {number}"), Text(_value(step)))
    parts: list[Text | Table] = [head, blank, layers, blank, bits]
    if origin.rows:
        parts += [blank, origin]
    return Group(*parts)


def _window(layer: Any) -> dict[str, Any] | None:
    window = getattr(layer, "window", None)
    if window is None:
        return None
    return {name: list(getattr(window, name)) for name in ("kernel", "stride", "padding")}


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [row["name"], _kind(row), _shape(row["out_shape"])]
    if row["out_shape"][1:] == [1, 1]:
        cells[2] = str(row["out_shape"][0])
    numbers = [_step(row["scale"]), str(row["zero"])] if "scale" in row else ["", ""]
    if "scheme" not in row:
        return [*cells, "", "", "", *numbers]
    return [
        *cells,
        row["scheme"],
        f"{row['real_weights']:,}",
        f"1/{1 / row['rate']:.4g}",
        *numbers,
        f"{row['weight_bits'] / 1000:,.1f}",
        f"{row['index_bits'] / 1000:,.1f}",
    ]


def _kind(row: dict[str, Any]) -> str:
    """conv 3x3/2 :8 - kernel, stride, groups - as short as it can be said."""
    if row["window"] is None:
        return str(row["kind"])
    (k_h, k_w), (down, right) = row["window"]["kernel"], row["window"]["stride"]
    kind = {"average": "avg"}.get(row["kind"], row["kind"])
    stride = f"/{down}" if down == right else f"/{down},{right}"
    groups = row.get("groups", 1)
    return f"{kind} {k_h}x{k_w}{stride}" + (f":{groups}" if groups > 1 else "")


def _step(scale: float) -> str:
    point = binary_point(scale)
    return f"{scale:.3g}" if point is None else f"2^{-point}"


def _shape(shape: list[int]) -> str:
    return "x".join(map(str, shape))


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
