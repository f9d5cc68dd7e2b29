"""Full float32 precision around our own calls, whatever the process has asked torch for.

``torch.set_float32_matmul_precision``, ``torch.backends…fp32_precision`` and oneDNN's environment
variables let float32 products be computed in bfloat16 or TF32. Exact integers and gradients need
all 24 bits. The state is global to the process and worker threads run at the same time, so what
was there is kept by the first who enters and restored by the last who leaves.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, nullcontext

import torch

_lock = threading.Lock()
_inside = 0
#: What was asked for where it was less than full, by operator.
_found: dict[str, str] = {}


def no_autocast() -> AbstractContextManager[object]:
    """A caller's autocast would turn exact integers into bfloat16; nothing to do without one.

    Autocast is a state of the calling thread, so that nobody else can begin one meanwhile.
    """
    if torch.is_autocast_enabled("cpu"):
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


def _asked_for_less() -> bool:
    """Whether oneDNN's own variables lower the precision of what torch leaves open."""
    names = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
    return any(os.environ.get(name, "strict").lower() != "strict" for name in names)


#: torch before the switches by operator has one for matrix products, and none for convolutions.
_SPLIT = hasattr(torch.backends.mkldnn, "conv")
_OPERATORS = ("conv", "matmul") if _SPLIT else ("matmul",)
_SWITCH = {name: getattr(torch.backends.mkldnn, name) for name in _OPERATORS if _SPLIT}
_FULL = "ieee" if _SPLIT else "highest"
_ENOUGH = (_FULL,) if not _SPLIT or _asked_for_less() else (_FULL, "none")


def _get(operator: str) -> str:
    if not _SPLIT:
        return torch.get_float32_matmul_precision()
    return str(_SWITCH[operator].fp32_precision)


def _set(operator: str, value: str) -> None:
    if not _SPLIT:
        torch.set_float32_matmul_precision(value)
    else:
        _SWITCH[operator].fp32_precision = value


def _restore(operator: str, value: str) -> None:
    if _SPLIT:
        # What was inherited from a general switch reads like what was set here: left open if it
        # can be.
        _set(operator, "none")
    if _get(operator) != value:
        _set(operator, value)


class full_float32:  # noqa: N801 - a context manager that reads like a function
    """float32 convolutions and matrix products of torch are full float32 inside.

    Thread-safe, and cheap where the process is in full precision already. What the process asked
    for is there again when the last has left. If another thread asks for something else meanwhile,
    that is what it gets then; calls that enter after it are in full precision, and one that is
    inside already may not be.
    """

    # A class: a generator would cost as much again as asking, for every product of one image.
    __slots__ = ("_free",)

    def __enter__(self) -> None:
        global _inside
        with _lock:  # the last who leaves passes through states that look like full precision
            self._free = not _inside and all(_get(name) in _ENOUGH for name in _OPERATORS)
            if self._free:
                return
            _inside += 1
            for operator in _OPERATORS:
                asked = _get(operator)
                if asked != _FULL:
                    _found[operator] = asked
                    _set(operator, _FULL)

    def __exit__(self, *error: object) -> None:
        global _inside
        if self._free:
            return
        with _lock:
            _inside -= 1
            if not _inside:
                for operator, asked in _found.items():
                    if _get(operator) == _FULL:  # else somebody has asked for it since
                        _restore(operator, asked)
                _found.clear()
