"""hwsim: one fixed-point inference engine, bit-accurate in Python, attacked through its datapath.

``hwsim.compile`` turns a torch module into a Program, ``hwsim.Engine`` runs it, ``hwsim.save`` and
``hwsim.load`` keep it on disk, ``hwsim.load_model`` reads what others made, ``hwsim.analyze``
counts its cycles. Imports wait until first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Engine": "hwsim.engine.module",
    "EngineConfig": "hwsim.numbers.config",
    "HwsimError": "hwsim.errors",
    "Program": "hwsim.program.program",
    "analyze": "hwsim.cost.timing",
    "attack_table": "hwsim.tensors",
    "audit_table": "hwsim.tensors",
    "compile": "hwsim.compiler.compiler",
    "detection_table": "hwsim.tensors",
    "load": "hwsim.rom.image",
    "load_config": "hwsim.numbers.config",
    "load_model": "hwsim.networks.load",
    "membership_table": "hwsim.tensors",
    "rtl_judgement": "hwsim.tensors",
    "save": "hwsim.rom.image",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hwsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
