"""What a program is, for people: the content of ``hwsim rom show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hwsim.numbers.fixedpoint import clog2
from hwsim.program.program import MacLayer, Program

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
    return {
        "config": program.config.model_dump(),
        "input_shape": list(program.input_shape),
        "classes": program.classes,
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
        "kernel": layer.kernel,
        "stride": layer.stride,
        "weight_bits": 0,
        "index_bits": 0,
        "dense_bits": 0,
    }
    if not isinstance(layer, MacLayer):
        return row
    spec = layer.spec
    index_w = 0 if spec.scheme == "dense" else clog2(spec.real_weights) + 1
    return row | {
        "padding": layer.padding,
        "scheme": spec.scheme,
        "virtual_weights": spec.virtual_weights,
        "real_weights": spec.real_weights,
        "rate": spec.rate,
        "seed": spec.seed,
        "hash_banks": spec.hash_banks,
        "fw": layer.fw,
        "fa_in": layer.fa_in,
        "fa_out": layer.fa_out,
        "last": layer.last,
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
        f"index mode {config['index_mode']}"
    )

    # The input of a layer is the output above it; so the table fits 80 columns.
    layers = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("layer", "kind", "output", "hash"):
        layers.add_column(column, no_wrap=column != "layer")
    for column in ("K", "rate", "fw", "fa", "weight\nkbit", "index\nkbit"):
        layers.add_column(column, justify="right", no_wrap=True)
    for row in description["layers"]:
        layers.add_row(*map(Text, _cells(row)))

    bits = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    bits.add_column("weight memory")
    bits.add_column("bits", justify="right")
    bits.add_column("of dense", justify="right")
    labels = {"dense": "dense", "index_sram": "shared, indices stored", "hash": "shared, hashed"}
    for key, label in labels.items():
        share = memory[key] / memory["dense"]
        bits.add_row(Text(label), Text(f"{memory[key]:,}"), Text(f"{share:.1%}"))

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


def _cells(row: dict[str, Any]) -> list[str]:
    window = "" if row["kind"] == "fc" else f" {row['kernel']}x{row['kernel']}/{row['stride']}"
    cells = [row["name"], row["kind"] + window, _shape(row["out_shape"])]
    if row["kind"] == "fc":
        cells[2] = str(row["out_shape"][0])
    if "scheme" not in row:
        return cells
    return [
        *cells,
        row["scheme"],
        f"{row['real_weights']:,}",
        f"1/{1 / row['rate']:.4g}",
        str(row["fw"]),
        f"{row['fa_in']}>{row['fa_out']}",
        f"{row['weight_bits'] / 1000:,.1f}",
        f"{row['index_bits'] / 1000:,.1f}",
    ]


def _shape(shape: list[int]) -> str:
    return "x".join(map(str, shape))


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
