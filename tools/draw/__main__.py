"""`make drawings`: the pictures of docs/rtl.md and of the rooms again, from what they show.

The hierarchy and the timing diagrams are read from the design, the rooms from import-linter's
layers in pyproject.toml; of the data path only the names of its blocks are checked, by
tests/rtl/test_drawings.py.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hwsim.files.file import replacing
from tools.draw import blocks, hierarchy, rooms, wavedrom

FOLDER = Path(__file__).parents[2] / "docs" / "img"
#: Pictures that need no simulation, by file name.
STILL = {"hierarchy.svg": hierarchy.draw, "datapath.svg": blocks.draw, "rooms.svg": rooms.draw}


def wave_file(name: str) -> Path:
    """WaveDrom file of a scene; its picture stands beside it."""
    return FOLDER / f"{name}.json"


def write_waves(scenes: dict[str, Any]) -> None:
    """WaveDrom files and their pictures."""
    for name, picture in scenes.items():
        with replacing(wave_file(name)) as part:
            part.write_text(json.dumps(picture, indent=1) + "\n", encoding="utf-8")
        wavedrom.draw(picture).write(wave_file(name).with_suffix(".svg"))


def main() -> None:
    """Write them all."""
    from tools.draw.record import compile_top, record

    for name, draw in STILL.items():
        draw().write(FOLDER / name)
    with tempfile.TemporaryDirectory(prefix="hwsim-drawings-") as folder:
        scenes = record(compile_top(Path(folder)), Path(folder))
    write_waves(scenes)
    print(f"docs/img: {', '.join([*STILL, *(f'{name}.svg' for name in scenes)])}")


if __name__ == "__main__":
    main()
