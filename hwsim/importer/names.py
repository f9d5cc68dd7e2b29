"""What a user types who means a file with a network; nothing here imports torch."""

from __future__ import annotations

#: Of files that others made.
FOREIGN = (".onnx", ".tflite", ".pt2")


def is_function(name: str) -> bool:
    """Whether a user who types ``name`` means a function in a file, ``file.py:function``."""
    file, colon, function = name.rpartition(":")
    return bool(colon) and file.endswith(".py") and function.isidentifier()


def is_foreign(name: str) -> bool:
    """Whether ``name`` is a file or function that knows nothing of this zoo."""
    return name.endswith(FOREIGN) or is_function(name)


def is_image(name: str) -> bool:
    """Whether a user who types ``name`` means a memory image rather than a trained network."""
    return name.rstrip("/").endswith(".hne")
