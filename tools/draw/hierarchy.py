"""docs/img/hierarchy.svg: which module has which, read from the Verilog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyverilog.vparser import ast as vast

from tools.draw.svg import FAINT, GREY, Drawing
from tools.draw.verilog import ILLEGAL, TOP, parsed, purpose

ROW, INDENT, BOX, CHARACTER = 26, 26, 20, 7.3
#: Background of a unit's subtree, by the instance in hne_core.
COLORS = {
    "hne_weight_path": "#ddf4ff", "hne_mac_path": "#fff1e5", "hne_act_path": "#dafbe1",
    "hne_sequencer": "#fbefff", "hne_instruction": "#fbefff",
}  # fmt: skip
PLAIN = "#f6f8fa"


@dataclass(frozen=True)
class Part:
    """A module at a place in the tree. copies: "" or how often, as the source says it."""

    module: str
    copies: str
    depth: int
    color: str


def parts(module: str = TOP, copies: str = "", depth: int = 0, color: str = PLAIN) -> list[Part]:
    """The tree below a module, parents first; equal siblings once."""
    color = COLORS.get(module, color)
    found = [Part(module, copies, depth, color)]
    for child, times in _children(parsed(module)).items():
        found += parts(child, times, depth + 1, color)
    return found


def _children(module: Any) -> dict[str, str]:
    """Modules of the instances -> how often each."""
    found: dict[str, list[str]] = {}

    def walk(node: Any, loops: tuple[str, ...]) -> None:
        if isinstance(node, vast.Instance):
            if not node.module.startswith(ILLEGAL):
                found.setdefault(node.module, []).append(" × ".join(loops) or "1")
            return
        if isinstance(node, vast.ForStatement) and isinstance(node.cond, vast.LessThan):
            loops = (*loops, _name(node.cond.right))
        for child in node.children():
            walk(child, loops)

    walk(module, ())
    return {name: _sum(times) for name, times in found.items()}


def _name(node: Any) -> str:
    """A loop's end: a parameter, a number, or a sum of them."""
    if isinstance(node, vast.Identifier):
        return str(node.name)
    if isinstance(node, vast.IntConst):
        return str(node.value)
    return "n"


def _sum(times: list[str]) -> str:
    ones = times.count("1")
    others = [one for one in times if one != "1"]
    terms = ([str(ones)] if ones else []) + others
    text = " + ".join(terms)
    return "" if text == "1" else f"× {text}"


def draw() -> Drawing:
    """The tree, a module a line, with what its file says about it."""
    tree = parts()
    drawing = Drawing(960, 20 + ROW * len(tree), "Modules of the engine")
    above: dict[int, float] = {}
    for number, part in enumerate(tree):
        x, y = 12 + INDENT * part.depth, 10 + ROW * number
        middle = y + BOX / 2
        if part.depth:
            start = above[part.depth - 1]
            elbow = x - INDENT + 10
            drawing.path(f"M{elbow} {start}V{middle}H{x}", stroke=FAINT)
        above[part.depth] = y + BOX
        width = CHARACTER * len(part.module) + 14
        drawing.box(x, y, width, BOX, part.color)
        drawing.text(x + 7, y + 14, part.module, mono=True)
        after = x + width + 8
        if part.copies:
            drawing.text(after, y + 14, part.copies, color=GREY)
            after += 6.6 * len(part.copies) + 10
        drawing.text(max(after, 400), y + 14, purpose(part.module), color=GREY)
    return drawing
