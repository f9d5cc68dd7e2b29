"""Full float32 precision around our own calls, whatever the process has asked torch for.

``torch.set_float32_matmul_precision``, ``torch.backends…fp32_precision`` and oneDNN's environment
variables let float32 products be computed in bfloat16 or TF32. Exact integers and gradients need
all 24 bits. The state is global to the process and worker threads run at the same time, so what
was there is kept by the first who enters and restored by the last who leaves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def no_autocast() -> torch.autocast:
    """A caller's autocast would turn exact integers into bfloat16."""
    return torch.autocast("cpu", enabled=False)


_OPERATORS = ("conv", "matmul")
_FULL = "ieee"
_lock = threading.Lock()
_inside = 0
_found: dict[str, str] = {}


def _asked_for_less() -> bool:
    """Whether oneDNN's own variables lower the precision of what torch leaves open."""
    names = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
    return any(os.environ.get(name, "strict").lower() != "strict" for name in names)


_OPEN_IS_FULL = not _asked_for_less()


def _get(operator: str) -> str:
    return str(getattr(torch.backends.mkldnn, operator).fp32_precision)


def _set(operator: str, value: str) -> None:
    getattr(torch.backends.mkldnn, operator).fp32_precision = value


def _restore(operator: str, value: str) -> None:
    # What was inherited from a general switch reads like what was set here: left open if it can be.
    _set(operator, "none")
    if _get(operator) != value:
        _set(operator, value)


@contextmanager
def full_float32() -> Iterator[None]:
    """float32 convolutions and matrix products of torch are full float32 inside.

    Thread-safe, and free where the process is in full precision already. A precision that another
    thread sets meanwhile is overwritten by the one found at the first entrance.
    """
    global _inside
    if not hasattr(torch.backends.mkldnn, "conv"):  # torch before these switches
        with _legacy():
            yield
        return
    if not _inside and _OPEN_IS_FULL and all(_get(op) in (_FULL, "none") for op in _OPERATORS):
        yield
        return
    with _lock:
        if not _inside:
            _found.update({op: _get(op) for op in _OPERATORS})
            for op in _OPERATORS:
                _set(op, _FULL)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for op, value in _found.items():
                    _restore(op, value)


@contextmanager
def _legacy() -> Iterator[None]:
    global _inside
    with _lock:
        if not _inside:
            _found["matmul"] = torch.get_float32_matmul_precision()
            if _found["matmul"] != "highest":
                torch.set_float32_matmul_precision("highest")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _found["matmul"] != "highest":
                torch.set_float32_matmul_precision(_found["matmul"])
