"""``.pt2`` files of torch.export, looked through before torch opens them.

torch unpickles parts of such an archive, and evaluates the expressions of its symbolic shapes. So
what is let through has neither: weights are plain bytes, sizes are numbers or names, operators are
ATen's. What torch is handed is a new archive of the parts that were looked through and no others:
the libraries that read archives differ in what they find in one that was made for that.
"""

from __future__ import annotations

import io
import json
import logging
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from hwsim.compiler.preparing import line
from hwsim.errors import HwsimError, InputError
from hwsim.importer.limits import MAX_FILE, elements, size_of, text

#: What a damaged archive makes of zipfile and json.
BROKEN = (
    zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, RecursionError, ValueError,
    TypeError, AttributeError, LookupError, ArithmeticError, OSError, zlib.error, struct.error,
)  # fmt: skip
#: Parts that torch.export.save writes, below the one folder of the archive.
_PART = re.compile(
    r"archive_format|archive_version|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/(version|serialization_id)|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d{1,6}|model_weights_config\.json)"
    r"|data/constants/(tensor_\d{1,6}|model_constants_config\.json)"
)
#: Sizes that are no number yet; anything longer would be evaluated.
_SYMBOL = re.compile(r"[su]\d{1,6}|-?\d{1,12}")
_TARGET = re.compile(r"(torch\.ops\.aten\.|_operator\.)[A-Za-z0-9_.]+|_?[A-Za-z0-9_]*sym_[a-z_]+")
#: Strings that operators of inference take.
_WORDS = {"none", "tanh", "constant", "mean", "floor", "trunc", "same", "valid"}
REMEDY = "save it again with torch.export.save of torch 2.9 or later, without dynamic shapes"


def read(path: Path) -> ExportedProgram:
    """The exported program of a file.

    Raises
    ------
    InputError
        For a file that is none or is damaged, and for one with pickled parts, compiled code,
        expressions, or operators other than ATen's.
    """
    size_of(path, MAX_FILE)
    try:
        with zipfile.ZipFile(path) as archive:
            checked = _checked(path, archive)
    except HwsimError:
        raise
    except BROKEN:
        raise InputError(f"{path}: is no archive of torch.export, or a damaged one") from None
    try:
        with _quiet():
            return torch.export.load(checked)
    except Exception as error:  # torch raises whatever comes to hand
        raise InputError(f"{path}: torch cannot load it: {line(error)}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's own account of what it cannot load, which is a traceback."""
    log = logging.getLogger("torch.export")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _checked(path: Path, archive: zipfile.ZipFile) -> io.BytesIO:
    """A new archive of the parts of a file, each of which was looked through."""
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > MAX_FILE:
        raise InputError(f"{path}: unpacks to more than the {MAX_FILE} bytes it may have")
    names = [text(entry.filename.partition("/")[2]) for entry in entries]
    if not any(name.startswith("models/") for name in names):
        raise InputError(f"{path}: holds no exported program")
    for entry, name in zip(entries, names, strict=True):
        if name.startswith("data/aotinductor/") or "custom_obj" in name or "opaque_obj" in name:
            raise InputError(
                f"{path}: holds code or objects ({name}), which are not loaded: {REMEDY}"
            )
        if name.startswith(("data/weights/", "data/constants/")) and name.endswith(".pt"):
            raise InputError(
                f"{path}: has pickled weights ({name}), which are not loaded: {REMEDY}"
            )
        if name.startswith("data/sample_inputs/"):
            _check_samples(path, archive.read(entry))
        elif name.endswith(".json"):
            _check_json(path, name, json.loads(archive.read(entry)))
        if not _PART.fullmatch(name):
            raise InputError(
                f"{path}: has a part that torch.export does not write ({name}): {REMEDY}"
            )
    if len(set(names)) < len(names) or len({one.filename.partition("/")[0] for one in entries}) > 1:
        raise InputError(f"{path}: has parts that stand twice, or in several folders: {REMEDY}")
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as new:
        for entry, name in zip(entries, names, strict=True):
            new.writestr(f"archive/{name}", archive.read(entry))
    found.seek(0)
    return found


def _check_samples(path: Path, data: bytes) -> None:
    if not data:
        return
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except Exception:  # whatever it is, torch would try again without the restriction
        raise InputError(
            f"{path}: its sample inputs are objects, which are not loaded: {REMEDY}"
        ) from None


def _check_json(path: Path, name: str, value: Any) -> None:
    for key, found in _pairs(value):
        if key == "use_pickle" and found:
            raise InputError(f"{path}: has pickled values ({name}), which are not loaded: {REMEDY}")
        if key == "expr_str" and not (isinstance(found, str) and _SYMBOL.fullmatch(found)):
            raise InputError(
                f"{path}: has an expression in a shape ({name}), which is not evaluated: {REMEDY}"
            )
        if key == "target" and not (isinstance(found, str) and _TARGET.fullmatch(found)):
            raise InputError(
                f"{path}: calls {str(found)[:80]}, which is no operator of ATen: {REMEDY}"
            )
        if key in ("as_string", "as_custom_obj", "as_operator") and found not in _WORDS:
            raise InputError(
                f"{path}: hands {str(found)[:80]!r} to an operator, which no layer takes: {REMEDY}"
            )
        if key == "sizes" and isinstance(found, list):
            sides = [one.get("as_int") for one in found if isinstance(one, dict)]
            elements(name, [side for side in sides if isinstance(side, int)])


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            yield from one.items()
            stack += one.values()
        elif isinstance(one, list):
            stack += one
