"""The reference: a page for each room, made of the docstrings of its modules, and the commands."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import click

from tools.site.links import ROOT

PACKAGE = ROOT / "hwsim"
#: What has pages of its own: the command line is described by its own help.
LEFT_OUT = ("hwsim.commands", "hwsim.configs")


@cache
def rooms() -> dict[str, list[str]]:
    """Packages of hwsim under their import names -> their modules, both in the order of names."""
    found: dict[str, list[str]] = {}
    for file in sorted(_files(PACKAGE, "hwsim")):
        *package, module = file
        name = ".".join(package)
        if name.startswith(LEFT_OUT) or module == "cli":
            continue
        found.setdefault(name, [])
        if module != "__init__":
            found[name].append(f"{name}.{module}")
    return {name: found[name] for name in sorted(found)}


def _files(folder: Path, name: str) -> list[tuple[str, ...]]:
    """(package, …, module) of every Python file; links to folders are followed."""
    found: list[tuple[str, ...]] = []
    for path in folder.iterdir():
        if path.is_dir() and (path / "__init__.py").exists():
            found += _files(path, f"{name}.{path.name}")
        elif path.suffix == ".py":
            found.append((*name.split("."), path.stem))
    return found


def summary(dotted: str, member: str = "") -> str:
    """First sentence of a docstring, of a module or of a class or function in it."""
    path = ROOT / dotted.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree: ast.AST = ast.parse(file.read_text(encoding="utf-8"))
    if member:
        # The last one: before it stand the overloads, which say nothing.
        parts = (
            node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)
        )
        *_, tree = (node for node in parts if node.name == member)
    assert isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef)
    return (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")


def room_page(room: str) -> str:
    """Markdown of one room: what it is, then its modules."""
    lines = [f"# {room}", "", f"::: {room}", "    options:", "      members: false", ""]
    for module in rooms()[room]:
        lines += [f"::: {module}", "    options:", "      show_root_heading: true"]
        lines += ["      show_root_toc_entry: true", "      show_root_full_path: true", ""]
    return "\n".join(lines)


def index_page() -> str:
    """The names in hwsim itself, and all rooms."""
    import hwsim

    lines = ["# Reference", "", "What `import hwsim` offers; each is imported on first use.", ""]
    lines += ["| name | |", "|---|---|"]
    for name in hwsim.__all__:
        home = hwsim._HOMES[name]
        room = home.rpartition(".")[0]
        lines.append(f"| [`hwsim.{name}`]({room}.md#{home}.{name}) | {summary(home, name)} |")
    lines += [
        "",
        "Everything else by rooms. [Commands](commands.md) are described by their own help,",
    ]
    lines += [
        "the engine's registers [from outside](../registers.md).",
        "",
        "| room | |",
        "|---|---|",
    ]
    lines += [f"| [`{room}`]({room}.md) | {summary(room)} |" for room in rooms()]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """`--help` of every command."""
    from hwsim.commands.group import hwsim as group

    lines = ["# Commands", "", "What `--help` prints. Bad input ends in one line and exit code 2."]
    top = click.Context(group, info_name="hwsim", max_content_width=90, terminal_width=90)

    def walk(command: click.Command, context: click.Context, level: int) -> None:
        lines.extend(["", f"{'#' * level} {context.command_path}", "", "```text"])
        lines.extend([command.get_help(context), "```"])
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                walk(child, click.Context(child, context, name), min(level + 1, 4))

    walk(group, top, 2)
    return "\n".join(lines) + "\n"
