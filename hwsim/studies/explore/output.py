"""What an exploration leaves behind: files of all designs, a page, the front on a screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hwsim.files.markdown import put
from hwsim.files.output import write_output
from hwsim.studies import output
from hwsim.studies.explore import page
from hwsim.studies.explore.result import ExploredFront
from hwsim.studies.study import StudyResult

#: The page that plotly makes, beside the files of every study.
PAGE = "designs.html"
LOOKS = {"beaten on every axis": "green", "beaten": "yellow", "not beaten": "cyan"}


def write(made: StudyResult, found: ExploredFront, directory: Path) -> dict[str, Path]:
    """The files of a study and, where plotly is there, the page. Raises InputError."""
    paths = output.write(made, directory)
    if page.have_plotly():
        paths["page"] = directory / PAGE
        write_output(paths["page"], page.page(found, made.result).encode())
    return paths


def render(made: StudyResult, console: Console, paths: Mapping[str, Path]) -> None:
    """The front, network by network, the verdicts, how to read them, and where the files are."""
    result = made.result
    counts = result["counts"]
    console.print(Text(f"explore: {result['title']}", "bold"))
    console.print(Text(
        f"{counts['combinations']:,} combinations, {counts['designs']:,} designs, "
        f"{counts['front']:,} on the front"
    ))  # fmt: skip
    for reason, count in counts["refused"].items():
        console.print(Text(f"left out {count:,}: {reason}", "yellow"))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="")
    heads = result["heads"][1:]
    for k, head in enumerate(heads):
        table.add_column(head, justify="left" if k == 0 else "right", no_wrap=True)
    for network in dict.fromkeys(row[0] for row in result["rows"]):
        table.add_row(Text(network, "bold"))
        for row in result["rows"]:
            if row[0] == network:
                table.add_row(*row[1:])
    console.print(table)
    verdicts = []
    for one in result["answers"]:
        verdicts.append(Text.assemble((f"{one['verdict']}: ", LOOKS[one["verdict"]]), one["text"]))
    notes = [Text(note, "dim") for note in result["notes"]]
    notes += [Text(f"Data: {d['note']}", "yellow") for d in result["datasets"] if d["note"]]
    console.print(Group(*verdicts, Text(), *notes, Text(output.scope(result), "dim")))
    if "page" in paths:
        console.print(f"-> {paths['page']}", highlight=False)
    else:
        console.print(Text(page.REMEDY, "yellow"))
    console.print(f"-> {paths['html']}\n", highlight=False)


def markdown(made: StudyResult) -> str:
    """The same for docs/explore.md."""
    result = made.result
    verdicts = [f"- **{one['verdict']}**: {one['text']}" for one in result["answers"]]
    refused = [
        f"Left out {count:,}: {reason}." for reason, count in result["counts"]["refused"].items()
    ]
    return "\n\n".join([output.markdown(made), *refused, "\n".join(verdicts)])


def put_docs(made: StudyResult, path: Path) -> None:
    """Put ``markdown`` and the picture between the comments ``explore``. Raises InputError."""
    write_output(path.parent / "img" / "study-explore.png", output.png(made, dpi=80))
    picture = f"![{made.result['title']}](img/study-explore.png)"
    put(path, "explore", f"{markdown(made)}\n\n{picture}")
