"""What a study leaves behind: result.json, rows.csv, rows.parquet, a picture, a page, a screen."""

from __future__ import annotations

import base64
import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hwsim.errors import InputError
from hwsim.files.markdown import put, read
from hwsim.files.output import write_output, write_together
from hwsim.report.html import render_page
from hwsim.report.pages import prepare_run_directory
from hwsim.report.schema import to_json
from hwsim.studies.study import StudyResult

#: How verdicts look on a screen.
LOOKS = {
    "reproduced": "green", "partly": "yellow", "not reproduced": "red", "not tested": "dim",
}  # fmt: skip


def write(made: StudyResult, directory: Path) -> dict[str, Path]:
    """result.json, rows.csv, result.png, report.html and, where pyarrow is there, rows.parquet.

    Each file appears whole or not at all. Without any network there is no picture. Raises
    InputError where the folder cannot be written.
    """
    folder = prepare_run_directory(directory)
    paths = {"json": folder / "result.json", "csv": folder / "rows.csv"}
    files = {"csv": exported(made, "csv")}
    if have_parquet():
        paths["parquet"] = folder / "rows.parquet"
        files["parquet"] = exported(made, "parquet")
    picture = None
    if made.findings is not None:
        picture = png(made)
        paths["png"] = folder / "result.png"
        files["png"] = picture
    paths["html"] = folder / "report.html"
    page = render_page(
        "study.html", made.result,
        png=base64.b64encode(picture).decode() if picture else None,
        looks={name: name.split()[0] for name in LOOKS},
    )  # fmt: skip
    files |= {"html": page.encode(), "json": exported(made, "json")}
    write_together(paths, files)
    return paths


def png(made: StudyResult, dpi: int = 150) -> bytes:
    """The study's figure."""
    assert made.findings is not None
    figure = Figure(figsize=made.findings.size, facecolor="white")
    made.findings.draw(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def export(made: StudyResult, path: Path, kind: str) -> None:
    """``json``: the whole result; ``csv`` and ``parquet``: its records. Raises InputError."""
    write_output(path, exported(made, kind))


def exported(made: StudyResult, kind: str) -> bytes:
    """The bytes of such a file."""
    if kind == "json":
        return to_json(made.result).encode()
    records = made.result["records"]
    if kind == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(records[0]) if records else ["study"])
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue().encode()
    need_parquet()
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def have_parquet() -> bool:
    """Whether pyarrow is installed."""
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


def need_parquet() -> None:
    """InputError without pyarrow."""
    if not have_parquet():
        raise InputError("Parquet needs pyarrow: pip install 'hwsim[paper]'")


# ---------------------------------------------------------------- screen and documents


def scope(result: Mapping[str, Any]) -> str:
    """How much was asked for, in words."""
    plan = result["plan"]
    # A sweep is as large as was asked for.
    parts = [] if plan["quick"] is None else ["quick" if plan["quick"] else "full"]
    if plan["samples"]:
        parts.append(f"{plan['samples']:,} images")
    if "finished" in result:
        parts.append("{} of {} rows".format(*result["finished"]))
    parts.append(f"computed in {result['computed_seconds']:,.0f} s of one process")
    return ", ".join(parts)


def render(made: StudyResult, console: Console, paths: Mapping[str, Path]) -> None:
    """Table, verdicts, what is missing, where the files are."""
    result = made.result
    console.print(Text(f"{result['study']}: {result['title']} ({result['source']})", "bold"))
    for network, how in result["missing"].items():
        # A command that is to be copied is not cut at the width of the screen: it has a line.
        lacking = f"missing: {network}; {how}".replace("; or make", ";\n  or make")
        console.print(Text(lacking, "yellow"), soft_wrap=True)
    if made.findings is not None:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="")
        # Heads may break between words; words and numbers may not.
        widths = [
            max(len(text) for text in [*head.split(), *(row[k] for row in result["rows"])])
            for k, head in enumerate(result["heads"])
        ]
        for k, (head, width) in enumerate(zip(result["heads"], widths, strict=True)):
            table.add_column(head, justify="left" if k == 0 else "right", min_width=width)
        for row in result["rows"]:
            table.add_row(*row)
        console.print(table)
    notes = [Text(note, "dim") for note in result["notes"]]
    verdicts = []
    for v in result["verdicts"]:
        line = Text.assemble((f"{v['verdict']}: ", LOOKS[v["verdict"]]), v["claim"])
        detail = f"  paper {v['paper']}; ours {v['ours'] or '(table)'}; {v['why']}"
        verdicts += [line, Text(detail, "dim")]
    for one in result["datasets"]:
        if one["note"]:
            notes.append(Text(f"Data: {one['note']}", "yellow"))
    console.print(Group(*notes, Text(), *verdicts, Text(scope(result), "dim")))
    console.print(f"-> {paths['html']}\n", highlight=False)


def markdown(made: StudyResult) -> str:
    """The same for docs/reproduction.md."""
    result = made.result
    parts = [f"`{_command(result)}` ({scope(result)})"]
    for network, how in result["missing"].items():
        what, found, command = how.partition("with: ")
        parts.append(f"Missing: {network}; {what}{f'with `{command}`' if found else ''}.")
    if made.findings is not None:
        parts.append(_table(result["heads"], result["rows"]))
        parts.append(" ".join(result["notes"]))
        rows = [
            [v["claim"], v["paper"], v["ours"] or "table", f"**{v['verdict']}**", v["why"]]
            for v in result["verdicts"]
        ]
        if rows:
            parts.append(_table(["claim", "paper", "ours", "verdict", "why"], rows, text=True))
    for one in result["datasets"]:
        if one["note"]:
            parts.append(f"Data: {one['note']}.")
    return "\n\n".join(parts)


#: Options of a command line that change no number: where things lie, and who computes.
_PLACES = ("--store", "--out", "--csv", "--parquet", "--json", "--markdown", "--jobs", "--cluster")


def _without_places(command: str) -> str:
    """What was typed, without what only concerns the machine on which it was."""
    words, kept = iter(shlex.split(command)), []
    for word in words:
        name, is_whole, _ = word.partition("=")
        if name not in _PLACES:
            kept.append(word)
        elif not is_whole:
            next(words, None)  # its value
    return shlex.join(kept)


def _command(result: Mapping[str, Any]) -> str:
    plan = result["plan"]
    if plan["quick"] is None:
        return _without_places(result["command"])
    words = ["hwsim study", result["study"]]
    words += ["--quick"] if plan["quick"] else []
    words += ["--kept"] if "finished" in result else []
    words += [f"--samples {plan['samples']}"] if plan["samples"] else []
    bits = ",".join(map(str, plan["bits"]))
    words += [f"--bits {bits}"] if bits != "8" else []
    words += [f"--config {plan['config']}"] if plan["config"] != "default" else []
    words += [f"--networks {','.join(result['only'])}"] if result["only"] else []
    return " ".join(words)


def _table(heads: list[str], rows: list[list[str]], text: bool = False) -> str:
    rule = ["---"] * len(heads) if text else ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in [heads, rule, *rows]
    )


def check_docs(path: Path, names: Sequence[str]) -> None:
    """Raise InputError, before any work, unless the file has a place for each study."""
    text = read(path)
    for name in names:
        if f"<!-- {name}: begin -->" not in text or f"<!-- {name}: end -->" not in text:
            raise InputError(
                f"{path}: no place for the study between <!-- {name}: begin --> and "
                f"<!-- {name}: end -->"
            )


def put_docs(made: StudyResult, path: Path, name: str) -> None:
    """Put ``markdown`` between comments of this name, and the picture into ``img`` beside the file.

    A study that found nothing leaves what is there. Raises InputError without such a place.
    """
    if made.findings is None:
        return
    write_output(path.parent / "img" / f"study-{name}.png", png(made, dpi=80))
    picture = f"![{made.result['title']}](img/study-{name}.png)"
    put(path, name, f"{markdown(made)}\n\n{picture}")
