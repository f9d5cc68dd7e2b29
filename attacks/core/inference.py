"""A model in eval mode for as long as anyone asks it, from however many threads.

No copy: a wrapper that counts its calls, or keeps what it has seen, is to see them. What is shared
instead is the knowledge who is asking: modules are put into eval mode by the first and back into
training mode by the last, so no thread ever finds dropout on because another one was done.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_LOCK = threading.Lock()
#: By id of a module that was found in training mode: the module, and how many are asking it.
_ASKED: dict[int, tuple[nn.Module, int]] = {}

if hasattr(os, "register_at_fork"):  # never copied into a child while another thread holds it
    os.register_at_fork(
        before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
    )


@contextmanager
def at_inference(model: nn.Module) -> Iterator[None]:
    """The model in eval mode; what was in training mode is put back when the last one leaves.

    Parameters are not touched: attacks ask for gradients by the input alone, so nothing is computed
    for a parameter, and ``requires_grad`` belongs to whoever may be training in another thread.

    Parameters
    ----------
    model : nn.Module
        May be shared by threads, may contain modules that other models contain too, and may be
        entered again by whoever is inside.
    """
    held = _enter(model)
    try:
        yield
    finally:
        _leave(held)


def _enter(model: nn.Module) -> list[nn.Module]:
    with _LOCK:
        held = [m for m in model.modules() if m.training or id(m) in _ASKED]
        # Flags and not ``eval()``: one that is overridden may do what no flag puts back.
        for module in held:
            _, asking = _ASKED.get(id(module), (module, 0))
            _ASKED[id(module)] = module, asking + 1
            module.training = False
    return held


def _leave(held: list[nn.Module]) -> None:
    with _LOCK:
        for module in held:
            _, asking = _ASKED.pop(id(module))
            if asking > 1:
                _ASKED[id(module)] = module, asking - 1
            else:
                module.training = True
