"""What a file was understood as, and how far the engine is from its runtime: tables and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hwsim.files.shown import tail
from hwsim.importer.compare import Column, RuntimeComparison
from hwsim.importer.load import LoadedModel
from hwsim.importer.rounding import MODELS
from hwsim.importer.steps import IntegerStep, Value
from hwsim.program.layers import MacLayer
from hwsim.program.summary import describe, render
from hwsim.program.wires import Place

if TYPE_CHECKING:
    from rich.console import Group, RenderableType


def understood(model: LoadedModel) -> RenderableType:
    """The graph as the importer read it."""
    from rich.console import Group
    from rich.text import Text

    if model.steps is None:
        return render(describe(model.program))
    return Group(Text(_head(model)), Text(""), _steps(model))


def compared(found: RuntimeComparison, source: str) -> Group:
    """Every runtime beside the engine, layer by layer, and the answers."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if found.missing:
        parts.append(Text(f"no comparison: {found.missing}"))
    columns = [column for column in found.columns if not column.error]
    if any(column.layers for column in columns):
        head = (
            f"Codes of every layer, engine against runtime, on {found.images} images ({source}); "
            "layers read what their own side computed"
        )
        parts += [Text(head), Text("")]
        parts += [_layers(columns), Text("")]
    for column in found.columns:
        parts += [Text(line) for line in _lines(column, found.images)]
    return Group(*parts)


def as_dict(model: LoadedModel) -> dict[str, Any]:
    """The model as plain JSON values."""
    found: dict[str, Any] = {"name": model.name, "notes": list(model.notes)}
    if model.graph is not None:
        found |= {"dialect": model.graph.dialect_name, "opset": model.graph.opset}
    return found | {"graph": drawn(model), "program": describe(model.program)}


def drawn(model: LoadedModel) -> list[dict[str, Any]]:
    """The graph as understood, the input first; ``inputs`` are places in this list."""
    image = model.program.input
    graph: list[dict[str, Any]] = [
        {
            "name": model.graph.input.tensor if model.graph else "input", "operator": "input",
            "inputs": [], "shape": _sides(image.shape), "engine": "", "weights": "",
            "codes": f"step {float(image.scale):.3g}, zero {image.zero}",
        }
    ]  # fmt: skip
    graph += _of_steps(model) if model.steps is not None else _of_layers(model)
    return [node | {"short": tail(node["name"])} for node in graph]


def _of_steps(model: LoadedModel) -> Iterator[dict[str, Any]]:
    assert model.steps is not None
    written = [model.steps.input, *(step.target for step in model.steps.steps)]
    for number, step in enumerate(model.steps.steps, 1):
        target = step.target
        codes_ = "answers"
        if target is not None:
            codes_ = (
                f"step {float(target.codes.scale):.3g}, zero {target.codes.zero}, "
                f"{_codes(step, target)}"
            )
        yield {
            "name": step.name, "operator": step.operator, "engine": _kind(step),
            "weights": _weights(step), "codes": codes_,
            "shape": _sides(target.shape if target else (step.channels, 1, 1)),
            "inputs": [
                n for n, value in enumerate(written[:number])
                if value is not None and any(_meet(value, source) for source in step.sources)
            ],
        }  # fmt: skip


def _meet(written: Value, read: Value) -> bool:
    """Whether two values share a channel of one map."""
    (map_, first), (other, start) = written.place, read.place
    return map_ is other and first < start + read.shape[0] and start < first + written.shape[0]


def _of_layers(model: LoadedModel) -> Iterator[dict[str, Any]]:
    """Of a network that has no steps of its file."""
    program = model.program
    written: list[Place | None] = [wire.target for wire in program.wires]
    for number, (layer, wire) in enumerate(zip(program.layers, program.wires, strict=True)):
        inputs = [0] if any(source.map == 0 for source in wire.sources) else []
        inputs += [
            n + 1 for n, place in enumerate(written[:number])
            if place is not None and any(place.map == source.map for source in wire.sources)
        ]  # fmt: skip
        weights = f"{program.config.wgt_w} bit" if isinstance(layer, MacLayer) else ""
        yield {
            "name": layer.name, "operator": layer.kind, "engine": layer.kind, "weights": weights,
            "codes": "", "shape": _sides(layer.out_shape), "inputs": inputs,
        }  # fmt: skip


def _sides(shape: Sequence[int]) -> list[int]:
    """(F, 1, 1) is a vector of F."""
    return list(shape[:1]) if tuple(shape[1:]) == (1, 1) else list(shape)


def comparison_as_dict(found: RuntimeComparison, source: str) -> dict[str, Any]:
    """A comparison as plain JSON values."""
    return {
        "images": found.images,
        "source": source,
        "missing": found.missing,
        "runtimes": [
            {
                "name": column.name,
                "error": column.error,
                "note": column.note,
                "equal_answers": column.answers,
                "equal_answers_with": column.between or {},
                "layers": [
                    {
                        "name": layer.name, "operator": layer.operator, "equal": layer.equal,
                        "largest_lsb": layer.lsb, "rounds_as": list(layer.rounds),
                    }
                    for layer in column.layers
                ],
            }
            for column in found.columns
        ],
    }  # fmt: skip


# --- the graph ------------------------------------------------------------------------------------


def _head(model: LoadedModel) -> str:
    graph, config = model.graph, model.program.config
    assert graph is not None
    image = model.program.input
    shape = "x".join(map(str, image.shape))
    opset = f", {graph.opset}" if graph.opset else ""
    kernel = model.program.provenance.get("rounds_as")
    rounds = f", rounding as {kernel} ({MODELS[kernel]})" if kernel else ""
    return (
        f"{graph.dialect_name}{opset}: {shape} -> {model.program.classes}, for {config.name} with "
        f"{config.act_w}-bit activations, {config.wgt_w}-bit weights, {config.mult_w}-bit "
        f"multipliers{rounds}\n"
        f"input {graph.input.tensor}: a step is worth {float(image.scale):.6g}, real 0 "
        f"is code {image.zero}"
    )


def _steps(model: LoadedModel) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    assert model.steps is not None
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("layer", "operator", "engine", "output", "weights"):
        table.add_column(column, no_wrap=True)
    for column in ("step", "zero", "codes"):
        table.add_column(column, justify="right", no_wrap=True)
    for step in model.steps.steps:
        table.add_row(*map(Text, _row(step)))
    return table


def _row(step: IntegerStep) -> list[str]:
    target = step.target
    shape = target.shape if target else (step.channels, 1, 1)
    sides = str(shape[0]) if shape[1:] == (1, 1) else "x".join(map(str, shape))
    cells = [tail(step.name), step.operator, _kind(step), sides, _weights(step)]
    if target is None:
        return [*cells, f"{float(step.ratio[0]):.3g}", "", "answers"]
    return [
        *cells,
        f"{float(target.codes.scale):.3g}",
        str(target.codes.zero),
        _codes(step, target),
    ]


def _kind(step: IntegerStep) -> str:
    kind = {"average": "avg", "output": "affine"}.get(step.kind, step.kind)
    if step.window is None:
        return kind
    (height, width), (down, right) = step.window.kernel, step.window.stride
    stride = f"/{down}" if down == right else f"/{down},{right}"
    groups = f":{step.groups}" if step.groups > 1 else ""
    return f"{kind} {height}x{width}{stride}{groups}"


def _weights(step: IntegerStep) -> str:
    if step.weights is None:
        return ""
    bits = int(abs(step.weights).max()).bit_length() + 1
    return f"{bits} bit" + ("/row" if len(set(step.steps)) > 1 else "")


def _codes(step: IntegerStep, target: Value) -> str:
    low, high = (0, 1) if step.bipolar else step.bounds
    return f"{low}…{high}"


# --- the comparison -------------------------------------------------------------------------------


def _layers(columns: list[Column]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("layer", no_wrap=True)
    table.add_column("operator", no_wrap=True)
    for column in columns:
        table.add_column(f"{column.name.replace(' ', chr(10), 1)}\nequal", justify="right")
        table.add_column("\n\nLSB", justify="right")
    for rows in zip(*(column.layers for column in columns), strict=True):
        cells = [tail(rows[0].name), rows[0].operator]
        for layer in rows:
            cells += [share(layer.equal), str(layer.lsb)]
        table.add_row(*map(Text, cells))
    return table


def _lines(column: Column, images: int) -> list[str]:
    """What is said of a runtime below the table."""
    if column.error:
        return [f"{column.name} does not run the file: {column.error}"]
    assert column.answers is not None
    lines = [f"{column.name}: {share(column.answers)} of {images} answers are the engine's"]
    lines += [f"  {column.note}"] * bool(column.note)
    lines += [
        f"  {share(equal)} of its answers are those of {other}"
        for other, equal in (column.between or {}).items()
    ]
    if column.layers:
        # A layer that several models explain goes to the one that explains most.
        counts = {name: sum(name in one.rounds for one in column.layers) for name in MODELS}
        left = list(column.layers)
        for name in sorted(counts, key=lambda one: -counts[one]):
            took = [one for one in left if name in one.rounds]
            left = [one for one in left if name not in one.rounds]
            if took:
                kinds = ", ".join(sorted({one.operator for one in took}))
                lines.append(
                    f"  {len(took)} of {len(column.layers)} layers ({kinds}) bit for bit: "
                    f"round {MODELS[name]}"
                )
        if left:
            names = ", ".join(tail(one.name) for one in left[:3])
            lines.append(
                f"  {len(left)} of {len(column.layers)} layers round in no way that hwsim "
                f"knows: {names}"
            )
    return lines


def share(value: float) -> str:
    """A share in percent that says 100% of nothing but all."""
    if value in (0.0, 1.0):
        return f"{value:.0%}"
    return f"{min(max(100 * value, 0.01), 99.99):.2f}%"
