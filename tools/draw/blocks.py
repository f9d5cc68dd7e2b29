"""docs/img/datapath.svg: the units and what flows between them, laid out by hand."""

from __future__ import annotations

from dataclasses import dataclass

from tools.draw.svg import GREY, INK, Drawing

WEIGHTS, ARRAY, MAPS = "#ddf4ff", "#fff1e5", "#dafbe1"
CONTROL, BUS, MEMORY = "#fbefff", "#f6f8fa", "#fff8c5"


@dataclass(frozen=True)
class Block:
    """A module with its place. lines: what it does, below its name."""

    module: str
    x: float
    y: float
    width: float
    height: float
    color: str
    lines: tuple[str, ...] = ()


BLOCKS = (
    Block("hne_axil", 110, 24, 120, 48, BUS, ("five channels",)),
    Block("hne_csr", 280, 24, 160, 48, BUS, ("registers, irq, window",)),
    Block("hne_sequencer", 490, 24, 140, 48, CONTROL, ("walks program memory",)),
    Block("hne_instruction", 680, 24, 140, 48, CONTROL, ("shapes, refusals",)),
    Block("hne_counters", 870, 24, 120, 48, BUS, ("where cycles go",)),
    Block("hne_index", 110, 150, 120, 74, WEIGHTS,
          ("SRAM, hash units", "or counter:", "ROWS addresses")),
    Block("hne_turns", 110, 264, 120, 48, WEIGHTS, ("which row when",)),
    Block("hne_expander", 280, 150, 160, 74, WEIGHTS,
          ("a column stays until", "all rows are served", "arbiter, sign")),
    Block("hne_weight_banks", 280, 264, 160, 48, MEMORY, ("BANKS real words",)),
    Block("hne_tile_buffer", 490, 150, 140, 74, WEIGHTS, ("ROWS weights", "two halves")),
    Block("hne_mac_array", 680, 150, 140, 96, ARRAY,
          ("ROWS × COLS", "accumulators", "and a shadow bank")),
    Block("hne_mac_control", 680, 264, 140, 48, ARRAY, ("slots, markers",)),
    Block("hne_post", 870, 170, 120, 76, ARRAY, ("COLS lanes:", "· m + b, >> s, clamp")),
    Block("hne_stream_in", 110, 380, 120, 60, MAPS, ("c, y, x:", "one pixel a beat")),
    Block("hne_act_buffer", 280, 380, 160, 60, MEMORY,
          ("two feature maps,", "banked by x mod COLS")),
    Block("hne_act_reader", 280, 478, 160, 48, MAPS, ("walks the windows",)),
    Block("hne_act_lanes", 490, 380, 140, 60, MAPS, ("COLS neighbours,", "padding masked")),
    Block("hne_pool", 680, 380, 140, 60, MAPS, ("maximum of a window",)),
    Block("hne_stream_gate", 90, 478, 160, 48, BUS, ("a packet, or nothing",)),
    Block("hne_argmax", 870, 380, 120, 48, BUS, ("first maximum",)),
    Block("hne_stream_out", 870, 478, 120, 48, BUS, ("one logit a beat",)),
    Block("hne_softmax", 680, 478, 140, 48, ARRAY, ("if SOFTMAX: UQ1.16",)),
    Block("hne_fifo", 1030, 478, 100, 48, BUS, ("logits",)),
)  # fmt: skip
#: A memory of hne_mac_path, which is no module of its own.
SCALE = Block("scale, bias", 870, 96, 120, 40, MEMORY, ("hne_ecc_ram",))

#: Steps of an SVG path -> label, its place and anchor.
FLOWS: tuple[tuple[str, str, float, float, str], ...] = (
    ("M84 48H110", "AXI4-Lite", 80, 52, "end"),
    ("M230 48H280", "", 0, 0, ""),
    ("M440 48H490", "start", 465, 42, "middle"),
    ("M630 48H680", "", 0, 0, ""),
    ("M170 224V264", "", 0, 0, ""),
    ("M230 276H264V187H280", "", 0, 0, ""),
    ("M330 224V264", "line", 324, 248, "end"),
    ("M390 264V224", "word", 396, 248, "start"),
    ("M440 187H490", "", 0, 0, ""),
    ("M630 187H680", "weights", 655, 181, "middle"),
    ("M750 264V246", "", 0, 0, ""),
    ("M820 208H870", "row", 845, 202, "middle"),
    ("M930 136V170", "", 0, 0, ""),
    ("M170 556V526", "AXI4-Stream", 170, 570, "middle"),
    ("M170 478V440", "", 0, 0, ""),
    ("M230 410H280", "", 0, 0, ""),
    ("M360 478V440", "lines", 366, 464, "start"),
    ("M440 410H490", "", 0, 0, ""),
    ("M630 410H680", "", 0, 0, ""),
    ("M560 380V236H680", "activations", 566, 300, "start"),
    ("M900 246V346H360V380", "the other map", 460, 340, "middle"),
    ("M960 246V380", "logits", 966, 330, "start"),
    ("M930 428V478", "", 0, 0, ""),
    ("M870 502H820", "", 0, 0, ""),
    ("M990 502H1030", "", 0, 0, ""),
    ("M1080 526V556", "AXI4-Stream", 1080, 570, "middle"),
)
#: The window of the registers onto the memories.
WINDOW = ("M360 72V112", "M170 112H870", "M170 112V150", "M248 112V300H280", "M750 112V72")


def draw() -> Drawing:
    """All of it."""
    drawing = Drawing(1150, 584, "Data path of the engine")
    for steps in WINDOW:
        arrow = steps not in WINDOW[:1]
        drawing.path(steps, dash=True, arrow=arrow)
    drawing.text(452, 128, "memory window, while idle", color=GREY, size=11)
    drawing.path("M750 380V346", arrow=True)
    for steps, label, x, y, anchor in FLOWS:
        drawing.path(steps, stroke=INK, arrow=True)
        if label:
            drawing.text(x, y, label, size=11, color=GREY, anchor=anchor)
    for block in (*BLOCKS, SCALE):
        drawing.box(block.x, block.y, block.width, block.height, block.color)
        middle = block.x + block.width / 2
        top = block.y + (block.height - 14 * len(block.lines) - 14) / 2 + 12
        drawing.text(middle, top, block.module, anchor="middle", mono=True, size=12, bold=True)
        for number, line in enumerate(block.lines, 1):
            drawing.text(middle, top + 14 * number, line, anchor="middle", size=11)
    return drawing
