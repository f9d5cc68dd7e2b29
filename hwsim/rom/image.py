"""A Program on disk: a directory ``<name>.hne`` of memory files and a manifest (docs/images.md).

Writing is atomic; reading believes nothing: sizes before allocation, digests, syntax, ranges,
the derived files against what they are derived from, and at last the proof that nothing can
overflow. A Program that ``load`` returns may run without further thought.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.errors import CompileError, ImageError
from hwsim.files.folder import replaced_directory
from hwsim.numbers.config import SKIPPING, EngineConfig
from hwsim.program import summary
from hwsim.program.layers import SUMMING
from hwsim.program.memory_map import check_maps
from hwsim.program.program import Program
from hwsim.program.proof import MAX_VIRTUAL_WEIGHTS, check
from hwsim.rom import manifest as manifest_file
from hwsim.rom.manifest import AnyManifest
from hwsim.rom.memfile import ADVICE, MemFile
from hwsim.rom.memories import (
    BIAS,
    INDEX,
    LUT,
    MEMORIES,
    PROGRAM,
    SCALE,
    WEIGHTS,
    check_index,
    check_program,
    memory_files,
    memory_values,
    with_words,
)

if TYPE_CHECKING:
    from rich.console import Group

MANIFEST = "manifest.json"
#: Virtual weights of a program, and numbers in a file: at about 20 bytes each, what a machine has.
MAX_NUMBERS = MAX_VIRTUAL_WEIGHTS
MAX_MANIFEST_BYTES = 1 << 24


def save(program: Program, path: Path | str, *, overwrite: bool = False) -> None:
    """Write ``program`` as the directory ``path``, whose name ends in ``.hne``.

    The directory appears complete or not at all; one that is replaced survives any failure.
    Raises CompileError for a program that could not run, ImageError if ``path`` exists and is
    not to be overwritten, holds anything but an image, or cannot be written.
    """
    path = Path(path)
    if path.suffix != ".hne":
        raise ImageError(_one_line(f"{path}: the name of a memory image must end in .hne"))
    try:
        _check_limits(program)
        check(program)
        with replaced_directory(path, overwrite, allowed={MANIFEST, *MEMORIES}) as folder:
            _write(program, folder)
    except ImageError as error:
        raise ImageError(_one_line(f"{path}: {error}")) from None
    except CompileError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(_one_line(f"{path}: cannot be written: {reason}")) from None


def _write(program: Program, folder: Path) -> None:
    digests = {}
    for name, file in memory_files(program).items():
        digest = hashlib.sha256()
        with open(folder / name, "wb") as out:
            for values in memory_values(program, name):
                for text in file.encode(values):
                    digest.update(text)
                    out.write(text)
        digests[name] = digest.hexdigest()
    (folder / MANIFEST).write_bytes(manifest_file.describe(program, digests))


def load(path: Path | str, *, config: EngineConfig | None = None) -> Program:
    """The Program in the directory ``path``, verified in every respect.

    config: the engine that is to run it; its name and clock are taken over, a difference in
    anything else is refused. Raises ImageError, naming file and line, and what to do.
    """
    return _load(Path(path), config)[0]


@dataclass(frozen=True)
class Finding:
    """Something that ``verify`` made sure of: about which file, and what holds."""

    name: str
    holds: str


def verify(path: Path | str, *, config: EngineConfig | None = None) -> list[Finding]:
    """Everything that ``load`` checks, said in words. Raises ImageError where it does not hold."""
    program, manifest = _load(Path(path), config)
    says = {
        WEIGHTS: f"every word within ±{program.config.wgt_max}, padding zero",
        INDEX: "every address and sign equal to the hash",
        SCALE: "every shift and multiplier in range",
        BIAS: "every rounding term and bias in range",
        PROGRAM: "every instruction equal to its layer in the manifest",
        LUT: "every entry a code",
    }
    sums = [layer for layer in program.layers if isinstance(layer, SUMMING)]
    peak = max(int(layer.accumulator_bound(program.config.act_max).max()) for layer in sums)
    return [
        Finding(MANIFEST, f"format {manifest.format_version}, {len(program.layers)} layers"),
        *(
            Finding(name, f"{file.lines:,} lines, SHA-256 correct, {says[name]}")
            for name, file in memory_files(program).items()
        ),
        Finding(
            "proof",
            f"no accumulator exceeds {peak:,}, {peak.bit_length() + 1} of "
            f"{program.config.acc_w} bits (bias of the last layer apart)",
        ),
    ]


def describe(source: Program | Path | str) -> dict[str, Any]:
    """Layers, sizes, memory and history of a program or of the image at a path, as plain JSON."""
    return summary.describe(source if isinstance(source, Program) else load(source))


def render(source: Program | Path | str) -> Group:
    """The same as tables for ``rich.print``."""
    return summary.render(describe(source))


def _load(path: Path, config: EngineConfig | None) -> tuple[Program, AnyManifest]:
    try:
        manifest = manifest_file.parse(_read(path, MANIFEST))
        if config is not None:
            _check_same_engine(manifest.engine(), config)
        program = manifest.skeleton()
        _check_limits(program)
        check_maps(program)
        _check_places(program, manifest)
        files = memory_files(program)
        _check_file_names(path, files, manifest)
        data = {name: _read_memory(path, file, manifest) for name, file in files.items()}
        check_program(manifest.instructions(program), program, files[PROGRAM], data[PROGRAM])
        program = with_words(program, files, data)
        if INDEX in files:
            check_index(program, files[INDEX], data[INDEX])
        check(program)
    except (ImageError, CompileError) as error:
        raise ImageError(_one_line(f"{path}: {error}")) from None
    if config is not None:
        # Without floors, where that engine does not skip.
        program = program.replace(config=config).skipping(config.skip)
    return program, manifest


def _read(path: Path, name: str, expected: MemFile | None = None) -> bytes:
    """A regular file of the image; nothing is read from a link, a pipe, or beyond its due size."""
    if "\0" in str(path):
        raise ImageError("no directory has a null character in its name")
    try:
        status = (path / name).lstat()
        if stat.S_ISLNK(status.st_mode):
            raise ImageError(f"{name} is a link: put a copy of the file there")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{name} is not a regular file")
        if expected is not None:
            expected.check_size(status.st_size)
        elif status.st_size > MAX_MANIFEST_BYTES:
            raise ImageError(f"{name} has {status.st_size} bytes, more than {MAX_MANIFEST_BYTES}")
        with open(path / name, "rb") as file:
            return file.read(status.st_size)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(_missing(path, name)) from None
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}") from None


def _missing(path: Path, name: str) -> str:
    if not path.exists():
        return "no such directory: make one with `hwsim compile`"
    if not path.is_dir():
        return "not a directory: a memory image is a directory <name>.hne"
    return f"{name} is missing: {ADVICE}"


def _read_memory(path: Path, file: MemFile, manifest: AnyManifest) -> bytes:
    data = _read(path, file.name, file)
    if hashlib.sha256(data).hexdigest() != manifest.sha256[file.name]:
        raise ImageError(
            f"{file.name} does not match its SHA-256 in {MANIFEST}, so it was edited or damaged: "
            f"{ADVICE}"
        )
    return data


def _check_same_engine(image: EngineConfig, wanted: EngineConfig) -> None:
    for name in EngineConfig.model_fields:
        found, given = getattr(image, name), getattr(wanted, name)
        # An engine that skips zeros, or takes several images together, reads the same words as one
        # that does not.
        if name not in ("name", "clock_mhz", "batch", *SKIPPING) and found != given:
            raise ImageError(
                f"compiled for configuration {image.name} with {name} = {found}, but "
                f"{wanted.name} has {name} = {given}: compile the network again for it"
            )


def _check_limits(program: Program) -> None:
    """Refuse what would exhaust memory, however small the description of it is."""
    sizes = {"the network": sum(layer.spec.virtual_weights for layer in program.mac_layers)}
    if program.layers:
        files = memory_files(program).values()
        sizes |= {file.name: file.lines * file.fields for file in files}
    for what, numbers in sizes.items():
        if numbers > MAX_NUMBERS:
            raise ImageError(
                f"{what} has {numbers} weights, but an image may hold {MAX_NUMBERS}: "
                "use a smaller network"
            )


def _check_places(program: Program, manifest: AnyManifest) -> None:
    for entry, place in zip(manifest.layers, program.placements(), strict=True):
        for name, found in entry.bases().items():
            expected = getattr(place, name)
            if found != expected:
                raise ImageError(
                    f"{MANIFEST}: layer {entry.name}: {name} is {found}, not {expected}: {ADVICE}"
                )


def _check_file_names(path: Path, files: dict[str, MemFile], manifest: AnyManifest) -> None:
    if manifest.sha256.keys() != files.keys():
        raise ImageError(f"{MANIFEST}: sha256 must name exactly {', '.join(files)}: {ADVICE}")
    for name in MEMORIES:
        if name not in files and os.path.lexists(path / name):
            raise ImageError(f"{name} does not belong to this image: delete it")


def _one_line(message: str) -> str:
    """Paths and manifests can hold line breaks; an error message must not."""
    return "".join(c if c.isprintable() else "?" for c in message)[:1000]
