"""Data of a user: ``.npz`` with x and perhaps y, read without pickle and not beyond its due."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import HwsimError, InputError
from hwsim.importer.graph import FileInput
from hwsim.importer.limits import MAX_DATA, size_of

#: What a damaged archive makes of zipfile, zlib and NumPy.
DAMAGED_ZIP = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, OSError, EOFError, NotImplementedError,
    RuntimeError, ValueError, KeyError, TypeError, OverflowError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class UserData:
    """x as the network takes it, (N, …), and labels, int64 (N,), or None."""

    x: NDArray[Any]
    y: NDArray[np.int64] | None = None


def read_data(path: Path | str) -> UserData:
    """The arrays x and, where it is there, y of a ``.npz`` file.

    Raises
    ------
    InputError
        For a file that is none, arrays of objects, NaN and infinity, labels that do not fit, and
        arrays of more than ``MAX_DATA`` bytes.
    """
    size_of(path, MAX_DATA)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _array(path, archive, name) for name in ("x", "y")}
    except HwsimError:
        raise
    except DAMAGED_ZIP:
        raise InputError(f"{path}: is no .npz file, or a damaged one") from None
    x, y = arrays["x"], arrays["y"]
    if x is None:
        raise InputError(f"{path}: has no array x: save it with numpy.savez(path, x=…, y=…)")
    return checked(str(path), x, y)


def checked(path: str, x: NDArray[Any], y: NDArray[Any] | None) -> UserData:
    """Inputs and labels that are some. Raises InputError, which begins with ``path``, else."""
    if x.ndim < 2 or not len(x) or x.dtype.kind not in "fiu":
        raise InputError(f"{path}: x must hold numbers (N, …), it has {x.dtype} {x.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError(f"{path}: x contains NaN or infinity")
    if y is None:
        return UserData(x)
    if y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise InputError(
            f"{path}: y must hold one whole number an image, it has {y.dtype} {y.shape}"
        )
    return UserData(x, y.astype(np.int64))


def _array(path: Path | str, archive: zipfile.ZipFile, name: str) -> NDArray[Any] | None:
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    with archive.open(entry) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
        except (ValueError, EOFError, SyntaxError, tokenize.TokenError):
            raise InputError(f"{path}: {name} is no array") from None
        size = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
        if dtype.hasobject or dtype.kind not in "fiub":
            raise InputError(f"{path}: {name} holds {dtype}, which is not read: save numbers")
        if size > MAX_DATA or min(shape, default=0) < 0:
            raise InputError(
                f"{path}: {name} declares {size} bytes, more than the {MAX_DATA} it may have"
            )
        data = file.read(size + 1)
    if len(data) != size:
        raise InputError(f"{path}: is damaged: {name} of shape {shape} does not have its bytes")
    found = np.frombuffer(data, dtype)
    return found.reshape(shape, order="F" if fortran else "C")


def as_images(x: NDArray[Any], image: FileInput, kind: str = "") -> NDArray[np.float64]:
    """x as the file takes it -> real numbers (N, *shape), channels first.

    kind: NumPy's name of the integers that the file takes. Arrays of that type are its codes; any
    other type holds real numbers, in the units of its input. Raises InputError for another shape.
    """
    shape = image.shape
    if image.channels_last:
        shape = (*image.shape[1:], image.shape[0])
    if x.shape[1:] != shape:
        # An image .hne no longer knows that the .tflite it was made of has channels last.
        turned = not image.channels_last and x.ndim == 4 and x.shape[1:] == (*shape[1:], shape[0])
        remedy = ": its channels stand last, so give x.transpose(0, 3, 1, 2)" if turned else ""
        taken = ", ".join(map(str, shape))
        raise InputError(f"x has the shape {x.shape}, the network takes (N, {taken}){remedy}")
    values = x.astype(np.float64)
    if image.codes is not None and x.dtype.name == kind:
        values = (values - image.codes.zero) * float(image.codes.scale)
    return np.moveaxis(values, -1, 1) if image.channels_last else values
