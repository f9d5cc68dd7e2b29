"""Just enough SVG: shapes and text as lines of a file that a person can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from hwsim.files.file import replacing

INK, GREY, FAINT = "#1f2328", "#59636e", "#d1d9e0"
SANS = "font-family=\"'Helvetica Neue',Arial,sans-serif\""
MONO = 'font-family="ui-monospace,Menlo,Consolas,monospace"'


def number(value: float) -> str:
    """Short and the same on every machine."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


@dataclass
class Drawing:
    """A picture of this size, in pixels, on white: it is read in dark pages, too."""

    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.parts.append(text)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        color: str = INK,
        anchor: str = "start",
        mono: bool = False,
        bold: bool = False,
    ) -> None:
        """Words whose baseline is at y."""
        weight = ' font-weight="600"' if bold else ""
        self.add(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{color}" '
            f'text-anchor="{anchor}" {MONO if mono else SANS}{weight}>{escape(words)}</text>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, fill: str, stroke: str = GREY
    ) -> None:
        self.add(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" rx="4" fill="{fill}" stroke="{stroke}"/>'
        )

    def path(
        self,
        steps: str,
        *,
        stroke: str = GREY,
        width: float = 1.2,
        fill: str = "none",
        arrow: bool = False,
        dash: bool = False,
    ) -> None:
        """steps: the d of an SVG path."""
        end = ' marker-end="url(#arrow)"' if arrow else ""
        dashes = ' stroke-dasharray="4 3"' if dash else ""
        self.add(
            f'<path d="{steps}" stroke="{stroke}" stroke-width="{number(width)}" '
            f'fill="{fill}"{dashes}{end}/>'
        )

    def __str__(self) -> str:
        width, height = number(self.width), number(self.height)
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">',
            f"<title>{escape(self.title)}</title>",
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{GREY}"/></marker>'
            "</defs>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]
        return "\n".join([*head, *self.parts, "</svg>"]) + "\n"

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        with replacing(path) as part:
            part.write_text(str(self), encoding="utf-8")
