"""Files where a user chose: checked before long work, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from hwsim.errors import InputError
from hwsim.files.file import replacing
from hwsim.files.leftovers import beside, remove, sweep


def prepare_json_path(path: Path | str) -> Path:
    """Check, before any long work, that ``path`` can be written; creates nothing.

    Raises InputError with one line.
    """
    target = Path(path)
    if not target.name:
        raise InputError(f"cannot write {str(path)!r}: it names no file")
    refuse_non_file(target)
    # The new file is made beside the old one, which a link may put elsewhere.
    probe((target.resolve() if target.is_symlink() else target).parent)
    return target


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a reader never sees a part, a failure keeps the old one.

    Raises OSError.
    """
    with replacing(path) as part:
        part.write_bytes(data)


def write_output(path: Path, data: bytes) -> None:
    """``write_atomically`` where a user chose: makes folders, raises InputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def write_together(paths: Mapping[str, Path], files: Mapping[str, bytes]) -> None:
    """Write ``files``, by the names of ``paths``, all or none; the last one takes its place last.

    Raises InputError, before any file is replaced, where one of them cannot be written.
    """
    try:
        with ExitStack() as stack:
            for name in reversed(list(files)):  # what is entered first is left last
                paths[name].parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(replacing(paths[name])).write_bytes(files[name])
    except OSError as error:
        where = error.filename or next(iter(paths.values())).parent
        raise InputError(f"cannot write {where}: {error.strerror or error}") from None


def refuse_non_file(path: Path) -> None:
    """Raises InputError if something that is no regular file stands at ``path``."""
    try:
        if path.is_file():
            return
        present = path.is_symlink() or path.exists()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    if present:
        broken = path.is_symlink() and not path.exists()
        kind = "a folder" if path.is_dir() else "a broken link" if broken else "no regular file"
        raise InputError(f"cannot write {path}: it is {kind}; choose another path")


def probe(directory: Path) -> None:
    """Create and remove a file for real: mode bits do not tell about root or read-only mounts."""
    existing = directory.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"cannot write to {directory}: {existing} is not a folder")
    remove(sweep(existing / "hwsim", ".part"))  # of processes killed right here
    probe = beside(existing / "hwsim", ".part")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to {directory}: {error.strerror or error}; choose a writable folder"
        ) from None
