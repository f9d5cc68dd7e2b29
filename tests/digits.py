"""Data folders with few of the MNIST digits, for tests that are not about how many there are."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def data_folder(folder: Path, train: int, test: int) -> Path:
    """``folder`` with that many of the digits of each split, for HWSIM_DATA."""
    from hwsim.models.datasets.dataset import load_dataset

    for split, prefix, count in (("train", "train", train), ("test", "t10k", test)):
        part = load_dataset("mnist", split).take(count)  # type: ignore[arg-type]
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + part.images.tobytes())
        header, labels = struct.pack(">II", 0x801, count), part.labels.astype(np.uint8)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return folder
