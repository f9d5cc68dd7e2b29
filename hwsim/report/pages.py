"""What a run leaves behind: result.json, result.png and one self-contained report.html."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwsim.report.plots import Examples
from hwsim.files.output import (
    prepare_json_path,
    probe,
    refuse_non_file,
    write_output,
    write_together,
)
from hwsim.report.html import render_html, render_page
from hwsim.report.schema import to_json

FILES = {"json": "result.json", "png": "result.png", "html": "report.html"}


def prepare_run_directory(path: Path | str) -> Path:
    """Check, before any long work, that a run can be written to ``path``; creates nothing.

    Raises InputError with one line if the folder, or its nearest existing parent, is not
    writable, or if something that is not a file stands where an output belongs.
    """
    directory = Path(path)
    for name in FILES.values():
        refuse_non_file(directory / name)
    probe(directory)
    return directory


def write_json(result: Mapping[str, Any], path: Path | str) -> Path:
    """Write a result as JSON, whole or not at all; folders are created. Raises InputError."""
    target = prepare_json_path(path)
    write_output(target, to_json(result).encode())
    return target


def write_page(
    template: str,
    result: Mapping[str, Any],
    picture: bytes,
    directory: Path | str,
    **shown: Any,
) -> dict[str, Path]:
    """result.json, result.png and report.html of ``template``; each whole or not at all.

    picture: PNG; the template sees it as ``png``, beside ``shown``. Raises InputError.
    """
    folder = prepare_run_directory(directory)
    paths = {kind: folder / name for kind, name in FILES.items()}
    page = render_page(template, result, png=base64.b64encode(picture).decode(), **shown)
    write_together(paths, {"png": picture, "html": page.encode(), "json": to_json(result).encode()})
    return paths


def write_run(
    result: Mapping[str, Any], examples: Examples | None, directory: Path | str
) -> dict[str, Path]:
    """Write result.json, result.png and report.html into ``directory``; return their paths.

    All three are drawn and on the disk before the first takes its place, and result.json does so
    last: whatever fails, an older run's folder stays as it was, and a folder with a new result.json
    is complete. The numbers are not lost then: the run's partial.json has them. Raises InputError.
    """
    # Here and not above: matplotlib and jinja2 take longer to load than most commands take to run.
    from hwsim.report import plots

    folder = prepare_run_directory(directory)
    paths = {kind: folder / name for kind, name in FILES.items()}
    picture = plots.combined_png(result, examples)
    # One picture for each table, narrow enough for a phone.
    pictures = {
        "success": plots.success_png(result, "success"),
        "success_escalated": plots.success_png(result, "success_escalated"),
    }
    if examples is not None and len(examples):
        pictures["examples"] = plots.examples_png(examples)
    page = render_html(result, pictures)
    write_together(paths, {"png": picture, "html": page.encode(), "json": to_json(result).encode()})
    return paths
