"""Pages as notebooks, and docs/tutorial.ipynb: `python -m tools.site.notebook` writes it.

A page is the source. Its Python and shell blocks become cells, in order; what it shows as output is
left out, since a notebook prints its own, and so are blocks for `make`, which belong into a clone.
"""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import nbformat

from hwsim.files.file import replacing
from tools.site.links import ROOT

PAGE = ROOT / "docs/tutorial.md"
NOTEBOOK = ROOT / "docs/tutorial.ipynb"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
#: jupytext takes the commonest language of a page for its own unless it is told.
FRONT = "---\njupyter:\n  kernelspec:\n" + "".join(f"    {k}: {v}\n" for k, v in KERNEL.items())
OUTPUT = re.compile(r"^```text\n(.*?)^```\n\n?", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"^```sh\nmake .*?^```\n\n?", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


def notebook(page: Path = PAGE) -> nbformat.NotebookNode:
    """The cells of a page, without outputs; the same on every machine.

    Parameters
    ----------
    page
        A Markdown file with fenced blocks of ``python`` and ``sh``.

    Returns
    -------
    nbformat.NotebookNode
        Version 4; shell blocks are cells that begin with ``%%sh``.
    """
    text = MAKE.sub("", OUTPUT.sub("", page.read_text(encoding="utf-8")))
    made = jupytext.reads(f"{FRONT}---\n\n{text}", fmt="md")
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"  # nbformat's own are random
        cell["metadata"] = {}
    made["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return made


def notebook_text() -> str:
    """docs/tutorial.ipynb as it must be."""
    return nbformat.writes(notebook(), indent=1) + "\n"


def shown_outputs(page: Path = PAGE) -> dict[str, str]:
    """Python block of a page -> what the page says that it prints, "" for nothing."""
    blocks = SHOWN.findall(page.read_text(encoding="utf-8"))
    return {source.strip(): output for source, output in blocks}


def main() -> None:
    """Write the notebook of the tutorial."""
    with replacing(NOTEBOOK) as part:
        part.write_text(notebook_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
