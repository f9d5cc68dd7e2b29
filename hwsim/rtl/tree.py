"""Where the Verilog stands: rtl/ of a checkout, which an installed hwsim carries along."""

from __future__ import annotations

from pathlib import Path

#: A link to the top-level folder in a checkout, a folder of its own in an installed hwsim.
RTL = Path(__file__).parent / "verilog"
#: The engine without its bus.
TOP = "hne_core"
#: Folders of modules: computing units, reusable cells, the bus, and what ties them together.
FOLDERS = ("units", "cells", "bus", "top")


def sources() -> list[Path]:
    """The Verilog files, one module each and ordered by name, then what they include."""
    return [*_all("hne_*.v"), *includes()]


def includes() -> list[Path]:
    """The files that modules include, ordered by name."""
    return _all("*.vh")


def modules() -> list[str]:
    """Names of all modules, sorted."""
    return [path.stem for path in _all("hne_*.v")]


def module_file(name: str) -> Path:
    """The file of module ``name``, or of an include file by its whole name.

    Raises FileNotFoundError if there is none.
    """
    wanted = name if name.endswith(".vh") else f"{name}.v"
    for folder in FOLDERS:
        if (path := RTL / folder / wanted).is_file():
            return path
    raise FileNotFoundError(f"{RTL} has no {wanted}")


def search_options(tree: Path = RTL) -> list[str]:
    """What tells Verilator where modules and include files stand: below ``tree``."""
    found = []
    for folder in FOLDERS:
        found += ["-y", str(tree / folder), f"+incdir+{tree / folder}"]
    return found


def _all(pattern: str) -> list[Path]:
    found = (path for folder in FOLDERS for path in (RTL / folder).glob(pattern))
    return sorted(found, key=lambda path: path.name)
