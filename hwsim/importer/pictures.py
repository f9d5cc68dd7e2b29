"""A folder of pictures by class, ``folder/CLASS/*.png``, as arrays."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError
from hwsim.files.reading import check_regular
from hwsim.importer.data import UserData
from hwsim.importer.graph import FileInput
from hwsim.importer.limits import MAX_DATA

#: Endings of files that are looked at, and what they may be.
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
FORMATS = ("PNG", "JPEG", "BMP")
#: Bytes of one picture's file, and pixels of it.
MAX_PICTURE, MAX_PIXELS = 1 << 26, 1 << 24
MAX_CLASSES = 1 << 16
#: Pillow's modes, and the one of 8 bits that holds the same pixels.
_MODES = {"L": "L", "RGB": "RGB", "1": "L", "P": "RGB"}


@dataclass(frozen=True, eq=False)
class Pictures:
    """pixels: uint8 (N, H, W, C), C = 1 or 3. y: int64 (N,). classes: what labels are called."""

    pixels: NDArray[np.uint8]
    y: NDArray[np.int64]
    classes: tuple[str, ...]

    def as_data(self, image: FileInput | None, low: float, high: float) -> UserData:
        """As a network takes them: float32, black worth ``low`` and white ``high``.

        image: its input, None where nothing is known but that channels come first. Grey pictures
        are repeated for a network of three channels.
        """
        pixels = self.pixels
        if image is not None and len(image.shape) == 3 and image.shape[0] == 3:
            pixels = np.broadcast_to(pixels, (*pixels.shape[:3], 3))
        if image is None or not image.channels_last:
            pixels = np.moveaxis(pixels, -1, 1)
        values = pixels.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
        return UserData(np.clip(values, low, high, dtype=np.float32), self.y)


def read_pictures(folder: Path | str) -> Pictures:
    """The PNG, JPEG and BMP files of a folder's folders.

    Folders are the classes: where all are named by numbers, these are the labels; else they are
    numbered in the order of their names.

    Raises
    ------
    InputError
        For a folder without any, files that are no pictures, transparency, more than 8 bits, more
        than one size or kind, and more than ``MAX_DATA`` bytes in all.
    """
    named = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    files = [(name, path) for name in named for path in _files(Path(folder) / name)]
    if not files:
        raise InputError(
            f"{folder}: has no pictures: put them into a folder a class, {folder}/CLASS/*.png"
        )
    labels, classes = _numbered(folder, named)
    first = _pixels(files[0][1])
    if len(files) * first.size > MAX_DATA:
        raise InputError(
            f"{folder}: {len(files)} pictures of {first.size} bytes, more than the {MAX_DATA} that "
            "are read"
        )
    pixels = np.empty((len(files), *first.shape), np.uint8)
    for at, (_, path) in enumerate(files):
        found = _pixels(path)
        if found.shape != first.shape:
            raise InputError(
                f"{path}: is {_size(found)}, {files[0][1]} is {_size(first)}: all must be alike"
            )
        pixels[at] = found
    y = np.array([labels[name] for name, _ in files], np.int64)
    return Pictures(pixels, y, classes)


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
    )


def _numbered(folder: Path | str, named: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Label by folder, and names by label."""
    if not all(name.isascii() and name.isdecimal() for name in named):
        return {name: at for at, name in enumerate(named)}, tuple(named)
    labels = {name: int(name) for name in named}
    most = max(labels.values())
    if len(set(labels.values())) < len(named) or most >= MAX_CLASSES:
        raise InputError(f"{folder}: its folders are numbers, but not classes: {', '.join(named)}")
    return labels, tuple(map(str, range(most + 1)))


def _pixels(path: Path) -> NDArray[np.uint8]:
    """(H, W, C) of one file."""
    from PIL import Image

    check_regular(path, MAX_PICTURE)
    try:
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise InputError(f"{path}: is {width} x {height}, more than {MAX_PIXELS} pixels")
            if picture.mode not in _MODES or "transparency" in picture.info:
                raise InputError(
                    f"{path}: is {picture.mode}: save it as 8-bit grey or RGB, without transparency"
                )
            found = np.asarray(picture.convert(_MODES[picture.mode]))
    except InputError:
        raise
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError):
        raise InputError(f"{path}: is no picture, or a damaged one") from None
    return found[:, :, None] if found.ndim == 2 else found


def _size(pixels: NDArray[np.uint8]) -> str:
    height, width, channels = pixels.shape
    return f"{width} x {height}, {'grey' if channels == 1 else 'RGB'}"
