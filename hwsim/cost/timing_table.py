"""A timing report for people: the screen of ``hwsim timing IMAGE``, at most 100 columns wide."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hwsim.cost.layer_timing import LayerTiming
from hwsim.cost.timing import TimingReport
from hwsim.files.shown import tail

_STORAGE = {
    "dense": "dense network",
    "index_sram": "real weights + stored index",
    "hash": "real weights, index hashed",
}


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        padding=(0, 1, 0, 0), header_style="dim",
    )  # fmt: skip
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _count(value: int) -> str:
    return f"{value:,}" if value else "-"


def _layer_cells(layer: LayerTiming) -> list[str]:
    stalls = (layer.expander_stall, layer.act_stall, layer.post_stall)
    overhead = layer.instruction + layer.drain
    known = [
        tail(layer.name), layer.kind, layer.scheme, f"{layer.cycles:,}", f"{layer.compute:,}",
        *map(_count, stalls), f"{overhead:,}",
    ]  # fmt: skip
    if layer.kind == "pool":
        return [*known, "-", "-"]
    return [*known, f"{layer.column_cycles:.2f}", f"{layer.utilization:.1%}"]


def _layers(report: TimingReport) -> Table:
    table = _table(
        "Cycles",
        ("layer", "kind", "hash"),
        ("cycles", "array\nbusy", "wait\nweights", "wait\nacts", "wait\npost", "start\n+ drain",
         "cycles a\ncolumn", "MACs\nused"),
    )  # fmt: skip
    for layer in report.layers:
        table.add_row(*map(Text, _layer_cells(layer)))
    table.add_section()
    start = report.cycles - sum(layer.cycles for layer in report.layers)
    overhead = report.total("instruction") + report.total("drain") + start
    stalls = (report.total(f"{name}_stall") for name in ("expander", "act", "post"))
    columns = report.total("columns")
    mean = 1 + report.total("conflict_cycles") / columns
    cells = (
        "total", "", "", f"{report.cycles:,}", f"{report.total('compute'):,}",
        *map(_count, stalls), f"{overhead:,}", f"{mean:.2f}", f"{report.utilization:.1%}",
    )  # fmt: skip
    table.add_row(*(Text(cell, style="bold") for cell in cells))
    return table


def _notes(report: TimingReport) -> list[str]:
    config = report.config
    notes = [
        "array busy: cycles that issue a column (pool: cycles of the pool unit). wait weights: the "
        "array waits for the expander. wait acts: second reads of strided columns. wait post: the "
        "shadow bank is still draining.",
        "cycles a column: mean over the expanded columns, 1 without bank conflicts.",
    ]
    conflicts = report.total("conflict_cycles")
    if conflicts:
        notes[-1] += (
            f" Conflicts cost the expander {conflicts:,} cycles; the array hides what falls into "
            "its work on an earlier row-tile."
        )
    if any(layer.kind == "fc" for layer in report.layers):
        images, share = report.images, report.images / config.cols
        once = f", and run once for all {images} images" if images > 1 else ""
        notes.append(f"fc layers can use {images}/{config.cols} of the array ({share:.1%}){once}.")
    notes += _narrow(report)
    return notes


def _narrow(report: TimingReport) -> list[str]:
    """Layers whose row-tiles leave rows of the array empty: what they can use of it."""
    config = report.config
    grouped = sorted({one.array_share for one in report.layers if one.kind == "conv"} - {1.0})
    shares = [f"{round(share * config.rows)}/{config.rows} ({share:.1%})" for share in grouped]
    notes = []
    if shares:
        notes.append(
            "convolutions in groups (depthwise: one channel each) can use the rows of one group: "
            f"{', '.join(shares)} of the array."
        )
    ones = {one.kind for one in report.layers} & {"average", "affine", "add", "lut"}
    if ones and config.rows > 1:
        notes.append(
            f"{', '.join(sorted(ones))} take a row-tile a channel: 1/{config.rows} of the array "
            f"({1 / config.rows:.1%})."
        )
    return notes


def _maps(report: TimingReport) -> str:
    """Activation memory: what the maps take, and what that is to be held against."""
    peak, depth = report.act_lines, report.config.act_depth
    text = f"feature maps: {peak.lines:,} of {depth:,} lines"
    if report.config.batch > 1:
        text += f", in each of {report.config.batch} pages"
    text += "; no allocation needs less than "
    text += f"{peak.least:,}"
    return text + (f", two buffers by turns {peak.ping_pong:,}" if report.chain else "")


def _memory(report: TimingReport) -> Table:
    table = _table("Weight memory", ("",), ("bits", "of dense", "allocated bits", "of dense"))
    for way, name in _STORAGE.items():
        need, have = report.memory_bits[way], report.allocated_bits[way]
        table.add_row(
            Text(name),
            f"{need:,}",
            f"{need / report.memory_bits['dense']:.1%}",
            f"{have:,}",
            f"{have / report.allocated_bits['dense']:.1%}",
        )
    return table


def _energy(report: TimingReport) -> Table:
    which = f"a batch of {report.images} images" if report.images > 1 else "one inference"
    table = _table(f"Energy of {which}", ("event",), ("count", "pJ each", "nJ", "share"))
    table.add_column("", style="dim", overflow="fold")
    for row in report.energy.rows:
        share = row.nj / report.energy.nj
        cells = (f"{row.count:,}", f"{row.pj:,.3f}", f"{row.nj:,.1f}", f"{share:.1%}")
        table.add_row(Text(row.name), *cells, Text(row.note))
    table.add_section()
    total = Text(f"{report.energy.nj:,.1f}", style="bold")
    table.add_row(Text("total", style="bold"), "", "", total, "", "")
    if report.images > 1:
        table.add_row(Text("an image"), "", "", f"{report.nj_per_image:,.1f}", "", "")
    return table


def _alternatives(report: TimingReport) -> Table:
    table = _table(
        "The same layers on the same engine, stored in another way",
        ("",),
        ("weights nJ", "total nJ", "weight bits", "index bits"),
    )
    table.add_column("from DRAM", overflow="fold")
    for one in report.energy.alternatives:
        table.add_row(
            Text(one.name),
            f"{one.weights_nj:,.0f}",
            f"{one.nj:,.0f}",
            f"{one.weight_bits:,}",
            _count(one.index_bits),
            one.dram or "-",
        )
    return table


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:,.3f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:,.2f} us"


def _together(report: TimingReport) -> str:
    """What an image of the batch costs, and what a full batch would give; a line each, or none."""
    images, full = report.images, report.config.batch
    text = ""
    if images > 1:
        text += f"an image: {report.cycles_per_image:,.0f} cycles = "
        text += f"{_duration(report.seconds / images)}, {report.nj_per_image:,.0f} nJ\n"
    if images < full:
        each = report.full_batch_cycles / full
        text += f"a batch of {full}: {report.full_batch_cycles:,} cycles, {each:,.0f} an image "
        text += f"({report.cycles_per_image / each:.2f} x as fast): --batch {full}\n"
    return text


def render(report: TimingReport) -> Group:
    """``report`` as rich renderables; plain ASCII, so that any terminal shows it."""
    config = report.config
    ratio = report.cycles / report.dense_cycles
    what = f" for a batch of {report.images} images" if report.images > 1 else ""
    streamed = f"{report.images} images" if report.images > 1 else "the image"
    head = Text.assemble(
        (f"{report.cycles:,} cycles{what}", "bold"),
        f" = {_duration(report.seconds)} at {config.clock_mhz:g} MHz, "
        f"{report.energy.nj:,.0f} nJ, MACs used {report.utilization:.1%}\n{_together(report)}",
        f"{config.name}: {config.rows}x{config.cols} array, {config.banks} banks, "
        f"{config.act_w}-bit activations, {config.wgt_w}-bit weights, "
        f"index mode {config.index_mode}\n",
        f"uncompressed on the same engine: {report.dense_cycles:,} cycles (this is {ratio:.2f} x)\n"
        f"not included: {report.stream_in:,} cycles to stream {streamed} in, "
        f"{report.stream_out:,} for the logits out"
        + (f", {report.softmax:,} for probabilities" if config.softmax else "")
        + f"\n{_maps(report)}",
    )
    notes = [Text(note, style="dim") for note in _notes(report)]
    sources = Text(
        "Arithmetic and SRAM: 45 nm, 0.9 V (Horowitz, ISSCC 2014) and fits through its points; "
        "DRAM 20.3 pJ a bit. Clock, control, leakage and streams are not included.",
        style="dim",
    )
    blank = Text()
    parts: list[RenderableType] = [
        head, blank, _layers(report), *notes, blank, _memory(report), blank, _energy(report),
        sources, blank, _alternatives(report),
    ]  # fmt: skip
    return Group(*parts)
