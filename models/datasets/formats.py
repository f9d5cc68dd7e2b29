"""File formats: IDX (LeCun), the CIFAR-10 binary records, and the wrappings around them.

Every function refuses a damaged file with InputError, naming it; nothing is unpickled.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError

U8 = NDArray[np.uint8]

#: Bytes one data file may unpack to; the largest real one, MNIST's training images, has 47 MB.
UNPACKED_LIMIT = 1 << 30
CIFAR_RECORDS = 10_000


def gunzip(payload: bytes, where: str, limit: int = UNPACKED_LIMIT) -> bytes:
    """The content of a gzip file of at most ``limit`` bytes."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(payload)) as stream:
            content = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{where}: damaged or truncated gzip file; replace it") from None
    if len(content) > limit:
        raise InputError(f"{where}: unpacks to more than {limit} bytes; replace it")
    return content


def untar(payload: bytes, members: Sequence[str], where: str) -> dict[str, bytes]:
    """Named regular files of a .tar.gz, by their last path component; nothing touches the disk."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(payload), mode="r:gz") as archive:
            for info in archive:
                if info.name in members and info.isfile() and info.size <= UNPACKED_LIMIT:
                    stream = archive.extractfile(info)
                    assert stream is not None  # a regular file always has content
                    found[info.name.rpartition("/")[2]] = stream.read()
                    if len(found) == len(members):
                        break
    except (OSError, EOFError, tarfile.TarError, zlib.error):
        raise InputError(f"{where}: damaged or truncated archive; replace it") from None
    missing = [name for name in members if name.rpartition("/")[2] not in found]
    if missing:
        raise InputError(f"{where}: archive has no file {missing[0]}; replace it")
    return found


def unzip(payload: bytes, members: Sequence[str], where: str) -> dict[str, bytes]:
    """Named files of a .zip or wheel, by their last path component; nothing touches the disk."""
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            present = {info.filename: info for info in archive.infolist()}
            for name in members:
                if name not in present or present[name].file_size > UNPACKED_LIMIT:
                    raise InputError(f"{where}: archive has no file {name}; replace it")
                found[name.rpartition("/")[2]] = archive.read(name)
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"{where}: damaged or truncated archive; replace it") from None
    return found


def _idx(payload: bytes, magic: int, axes: int, where: str) -> U8:
    header = 4 + 4 * axes
    if len(payload) < header:
        raise InputError(f"{where}: truncated: {len(payload)} bytes, the header alone has {header}")
    found, *shape = struct.unpack(f">{1 + axes}I", payload[:header])
    if found != magic:
        raise InputError(f"{where}: wrong magic number 0x{found:08x}, expected 0x{magic:08x}")
    expected = header + math.prod(shape)
    if len(payload) != expected:
        word = "truncated" if len(payload) < expected else "too long"
        raise InputError(f"{where}: {word}: {len(payload)} bytes, its header says {expected}")
    return np.frombuffer(payload, np.uint8, offset=header).reshape(shape).copy()  # writable


def idx_images(payload: bytes, shape: tuple[int, int, int], where: str) -> U8:
    """Images (N, 1, H, W) uint8 of an idx3-ubyte file; (1, H, W) must be ``shape``."""
    images = _idx(payload, 0x00000803, 3, where)
    if not len(images) or images.shape[1:] != shape[1:]:
        raise InputError(
            f"{where}: holds images of shape {images.shape}, expected (N, {shape[1]}, {shape[2]})"
        )
    return images[:, None]


def idx_labels(payload: bytes, classes: int, where: str) -> NDArray[np.int64]:
    """Labels (N,) int64 in 0 … classes − 1 of an idx1-ubyte file."""
    return _labels(_idx(payload, 0x00000801, 1, where), classes, where)


def cifar_batch(payload: bytes, classes: int, where: str) -> tuple[U8, NDArray[np.int64]]:
    """Images (10000, 3, 32, 32) uint8 and labels (10000,) int64 of one CIFAR-10 binary file.

    The format has no header; its length, 10,000 records of one label and 3072 pixel bytes, is
    what betrays a truncated file.
    """
    record = 1 + 3 * 32 * 32
    expected = CIFAR_RECORDS * record
    if len(payload) != expected:
        word = "truncated" if len(payload) < expected else "too long"
        raise InputError(
            f"{where}: {word}: {len(payload)} bytes, a CIFAR-10 binary file has {expected}"
        )
    records = np.frombuffer(payload, np.uint8).reshape(CIFAR_RECORDS, record)
    return records[:, 1:].reshape(-1, 3, 32, 32), _labels(records[:, 0], classes, where)


def _labels(raw: U8, classes: int, where: str) -> NDArray[np.int64]:
    if len(raw) and raw.max() >= classes:
        raise InputError(f"{where}: label {raw.max()} is outside 0 … {classes - 1}")
    return raw.astype(np.int64)
