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
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path

from hwsim.studies.runner.code_memory import hashed, recall, remember

#: Finds the text of a module by its name; None for one that is not ours.
Find = Callable[[str], str | None]

#: Modules whose work other digests of a row cover: data sets by their images, trained networks by
#: their weights (what turns weights into a network is not here), tasks by their parameters.
COVERED = (
    "hwsim.errors", "hwsim.files", "hwsim.models.datasets", "hwsim.models.recipe",
    "hwsim.models.specs", "hwsim.studies.runner.code_digest", "hwsim.studies.runner.code_memory",
    "hwsim.studies.runner.task",
)  # fmt: skip

#: A definition by its path, as the catalogue of attacks names classes without importing them.
_PATH = re.compile(r"(hwsim(?:\.\w+)+):(\w+)")


@lru_cache(maxsize=64)
def digest(function: str) -> str:
    """SHA-256 over all definitions behind ``function``, given as ``package.module:name``.

    Raises LookupError if there is no such definition.
    """
    by = _source(__name__) or ""
    if (found := recall(function, _source, by)) is None:
        modules = _Modules(_source)
        found = _digest(_reached(function, modules))
        remember(function, by, {m: hashed(text) for m, text in modules.texts.items()}, found)
    return found


def digest_in(function: str, find: Find) -> str:
    """``digest`` in a world whose modules are what ``find`` says."""
    return _digest(reached(function, find))


def reached(function: str, find: Find | None = None) -> dict[tuple[str, str], str]:
    """(module, name) -> text without paths and docstrings, of every definition that is reached."""
    return _reached(function, _Modules(find or _source))


def _digest(definitions: dict[tuple[str, str], str]) -> str:
    return hashlib.sha256("\0".join(sorted(definitions.values())).encode()).hexdigest()


def _reached(function: str, modules: _Modules) -> dict[tuple[str, str], str]:
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
        waiting += modules.used(home[0], statements)
        found[home] = "\n".join(one.text for one in statements)
    return found


def covered(module: str) -> bool:
    """Whether what ``module`` does is known by other digests."""
    return any(module == one or module.startswith(f"{one}.") for one in COVERED)


#: Local name -> (module, name there or None for the module itself).
Imports = dict[str, tuple[str, str | None]]


class _Statement:
    """A statement of a module, read once: effects belong to every definition of their module.

    imports: those inside it. names: what it mentions, (name, attribute or None). paths: (module,
    name) of definitions named by their path.
    """

    def __init__(self, tree: ast.stmt) -> None:
        self._tree: ast.stmt | None = tree
        self.imports: Imports = {}
        self.names: set[tuple[str, str | None]] = set()
        self.paths: set[tuple[str, str]] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imports |= _imported(node)
            elif isinstance(node, ast.Name):
                self.names.add((node.id, None))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                self.names.add((node.value.id, node.attr))
            elif isinstance(node, ast.Constant) and (match := _path(node)):
                self.paths.add((match[1], match[2]))

    @cached_property
    def text(self) -> str:
        """Without paths and docstrings."""
        tree, self._tree = self._tree, None  # which is another after the visit
        assert tree is not None
        return ast.unparse(_Plain().visit(tree))


@dataclass
class _Source:
    """definitions: top-level statements by the name they define. effects: statements that define
    nothing.
    """

    definitions: dict[str, list[_Statement]] = field(default_factory=dict)
    imports: Imports = field(default_factory=dict)
    effects: list[_Statement] = field(default_factory=list)


class _Modules:
    """What is known of the modules met so far. texts: of each, None where it is not ours."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: dict[str, _Source | None] = {}
        self.texts: dict[str, str | None] = {}

    def known(self, module: str) -> _Source | None:
        if module not in self._known:
            self.texts[module] = text = self._find(module)
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

    def used(self, module: str, statements: list[_Statement]) -> Iterator[tuple[str, str]]:
        """(module, name) of what statements of ``module`` mention; some may define nothing."""
        source = self.known(module)
        assert source is not None
        local = dict(source.imports)
        for one in statements:
            local |= one.imports
        for one in statements:
            yield from one.paths
            for name, attribute in one.names:
                origin, inside = local.get(name, ("", None))
                if attribute is None:
                    yield module, name
                    if inside is not None:
                        yield origin, inside
                elif origin:
                    yield origin if inside is None else f"{origin}.{inside}", attribute


def _read(tree: ast.Module) -> _Source:
    source = _Source()
    for statement in _unguarded(tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            source.imports |= _imported(statement)
        elif names := list(_defined(statement)):
            read = _Statement(statement)
            for name in names:
                source.definitions.setdefault(name, []).append(read)
        elif not _says_nothing(statement):
            source.effects.append(_Statement(statement))
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


def _imported(node: ast.Import | ast.ImportFrom) -> Imports:
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
