"""A digest of the code that computes a row, so that a changed attack or defense is another row.

It follows the definitions that a function reaches, by name and through imports, and hashes what
they say: not their comments, docstrings or layout, nor which file they stand in. So another colour
in a plot changes no row, a module that moves changes none, and another rounding in a unit does.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

#: Finds the text of a module by its name; None for one that is not ours.
Find = Callable[[str], str | None]

#: Modules whose work other digests of a row cover: data sets by their images, trained networks by
#: their weights (what turns weights into a network is not here), tasks by their parameters.
COVERED = (
    "hwsim.errors", "hwsim.files", "hwsim.models.datasets", "hwsim.models.recipe",
    "hwsim.models.specs", "hwsim.studies.runner.code_digest", "hwsim.studies.runner.task",
)  # fmt: skip

#: A definition by its path, as the catalogue of attacks names classes without importing them.
_PATH = re.compile(r"(hwsim(?:\.\w+)+):(\w+)")


@lru_cache(maxsize=64)
def digest(function: str) -> str:
    """SHA-256 over all definitions behind ``function``, given as ``package.module:name``.

    Raises LookupError if there is no such definition.
    """
    return digest_in(function, _source)


def digest_in(function: str, find: Find) -> str:
    """``digest`` in a world whose modules are what ``find`` says."""
    texts = sorted(reached(function, find).values())
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def reached(function: str, find: Find | None = None) -> dict[tuple[str, str], str]:
    """(module, name) -> text without paths and docstrings, of every definition that is reached."""
    modules = _Modules(find or _source)
    module, _, name = function.partition(":")
    if modules.definition(module, name) is None:
        raise LookupError(f"{module} defines no {name}")
    found: dict[tuple[str, str], str] = {}
    waiting = [(module, name)]
    while waiting:
        where, wanted = waiting.pop()
        home = modules.definition(where, wanted)
        if home is None or home in found or covered(home[0]):
            continue
        source = modules.known(home[0])
        assert source is not None
        # What a module does when it is imported belongs to everything that is taken from it.
        statements = [*source.definitions[home[1]], *source.effects]
        found[home] = "\n".join(ast.unparse(_Plain().visit(_copy(one))) for one in statements)
        waiting += modules.used(home[0], statements)
    return found


def covered(module: str) -> bool:
    """Whether what ``module`` does is known by other digests."""
    return any(module == one or module.startswith(f"{one}.") for one in COVERED)


@dataclass
class _Source:
    """definitions: top-level statements by the name they define. imports: local name -> (module,
    name there or None for the module itself). effects: statements that define nothing.
    """

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)


class _Modules:
    """What is known of the modules met so far."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: dict[str, _Source | None] = {}

    def known(self, module: str) -> _Source | None:
        if module not in self._known:
            text = self._find(module)
            self._known[module] = None if text is None else _read(ast.parse(text))
        return self._known[module]

    def definition(self, module: str, name: str) -> tuple[str, str] | None:
        """Where ``name`` of ``module`` is really defined; None if that is not ours."""
        source = self.known(module)
        if source is None:
            return None
        if name in source.definitions:
            return module, name
        if name in source.imports:
            origin, inside = source.imports[name]
            return None if inside is None else self.definition(origin, inside)
        return None

    def used(self, module: str, statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
        """(module, name) of what statements of ``module`` mention; some may define nothing."""
        source = self.known(module)
        assert source is not None
        nodes = [node for one in statements for node in ast.walk(one)]
        local = dict(source.imports)
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                local |= _imported(node)
        for node in nodes:
            if isinstance(node, ast.Name):
                yield module, node.id
                origin, inside = local.get(node.id, ("", None))
                if inside is not None:
                    yield origin, inside
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id in local:
                    origin, inside = local[node.value.id]
                    yield origin if inside is None else f"{origin}.{inside}", node.attr
            elif isinstance(node, ast.Constant) and (match := _path(node)):
                yield match[1], match[2]


def _read(tree: ast.Module) -> _Source:
    source = _Source()
    for statement in _unguarded(tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            source.imports |= _imported(statement)
        elif names := list(_defined(statement)):
            for name in names:
                source.definitions.setdefault(name, []).append(statement)
        elif not _says_nothing(statement):
            source.effects.append(statement)
    return source


def _unguarded(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements, less those that only type checkers see, with both ways of an ``if``."""
    for statement in body:
        if isinstance(statement, ast.If):
            test = ast.unparse(statement.test)
            if not test.endswith("TYPE_CHECKING") and "__name__" not in test:
                yield from _unguarded(statement.body)
            yield from _unguarded(statement.orelse)
        else:
            yield statement


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, tuple[str, str | None]]:
    if isinstance(node, ast.Import):
        return {a.asname or a.name: (a.name, None) for a in node.names}
    return {a.asname or a.name: (node.module or "", a.name) for a in node.names}


def _defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for node in (node for target in targets for node in ast.walk(target)):
            if isinstance(node, ast.Name):
                yield node.id


def _says_nothing(statement: ast.stmt) -> bool:
    text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return text or isinstance(statement, ast.Pass)


def _path(node: ast.Constant) -> re.Match[str] | None:
    return _PATH.fullmatch(node.value) if isinstance(node.value, str) else None


def _copy(statement: ast.stmt) -> ast.stmt:
    (copy,) = ast.parse(ast.unparse(statement)).body
    return copy


class _Plain(ast.NodeTransformer):
    """Takes out docstrings, and from imports and paths the names of our modules."""

    def visit(self, node: ast.AST) -> ast.AST:
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _says_nothing(body[0]):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        found: ast.AST = super().visit(node)
        return found

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if (node.module or "").split(".")[0] == "hwsim":
            node.module = "hwsim"
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if match := _path(node):
            node.value = match[2]
        return node


def _source(module: str) -> str | None:
    if module.split(".")[0] != "hwsim":
        return None
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None  # a name inside a module, not a module
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).read_text(encoding="utf-8")
