"""docs/tutorial-tflite.md with what its commands print: `python -m tools.site.transcript MODELS`.

MODELS is the folder of pretrainedResnet_quant.tflite; HWSIM_DATA that of the images on the page.
The page is its own script: the shell and Python blocks run in order in one empty folder, each on
its own, and the ``text`` block behind a block is the whole of what it wrote to stdout.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hwsim.files.file import replacing
from tools.site.links import ROOT

PAGE = ROOT / "docs/tutorial-tflite.md"
MODEL = "pretrainedResnet_quant.tflite"
#: First words of shell blocks that belong into a clone, where they install or print the same.
IN_A_CLONE = ("make ", "pip ")
BLOCK = re.compile(
    r"^```(?P<language>sh|python)\n(?P<source>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


def written(text: str, folder: Path, environment: Mapping[str, str]) -> str:
    """A page with what its blocks print today.

    Parameters
    ----------
    text
        The page's Markdown. Blocks that begin with one of IN_A_CLONE stay as they are.
    folder
        Where the blocks run, one after the other; the files that the reader was given lie there.
    environment
        Of the blocks; its PATH has ``hwsim`` and ``python``.

    Returns
    -------
    str
        The same, with spaces at ends of lines left out.

    Raises
    ------
    RuntimeError
        Where a block fails, with what it said.
    """

    def ran(match: re.Match[str]) -> str:
        source = match["source"]
        if source.startswith(IN_A_CLONE):
            return match[0]
        shell = match["language"] == "sh"
        command = ["bash", "-e", "-c", source] if shell else ["python", "-c", source]
        done = subprocess.run(
            command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{source}{done.stderr}")
        shown = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
        fenced = f"```{match['language']}\n{source}```\n"
        return f"{fenced}\n```text\n{shown}```\n" if shown else fenced

    return BLOCK.sub(ran, text)


def around(path: Path = Path(sys.executable).parent) -> dict[str, str]:
    """The environment of the blocks: ``path`` first, and the width of the page."""
    return {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}


def main() -> None:
    """Write the page anew."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(Path(sys.argv[1]) / MODEL, folder)
        text = written(PAGE.read_text(encoding="utf-8"), folder, around())
    with replacing(PAGE) as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
