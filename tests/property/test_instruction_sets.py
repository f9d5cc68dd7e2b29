"""Every instruction set that this CPU offers is another machine: the equalities hold on each."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

#: oneDNN's names, and torch's question whether the CPU has what is new in each.
SETS = {
    "AVX2": "_is_avx2_supported",
    "AVX512_CORE_VNNI": "_is_vnni_supported",
    "AVX512_CORE_AMX": "_is_amx_tile_supported",
}
#: LLVM's names of processors with the same sets, for what numba compiles; the first has no
#: instruction that multiplies and adds at once, so that a library's function does.
PROCESSORS = {
    "x86-64": None,
    "haswell": "_is_avx2_supported",
    "cascadelake": "_is_vnni_supported",
    "sapphirerapids": "_is_amx_tile_supported",
}
EQUALITIES = [
    "test_single_layers.py",
    "test_engine_equals_oracle.py",
    "../unit/test_kernel_proof.py",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_engine_is_exact_when_held_to(name: str, tmp_path: Path) -> None:
    _skip_without(name, SETS[name])
    _skip_the_best(name, SETS)
    # A cache of its own: the verdicts of this machine hold for all its instructions.
    held = {"ONEDNN_MAX_CPU_ISA": name, "DNNL_MAX_CPU_ISA": name, "HWSIM_CACHE": str(tmp_path)}
    _run(EQUALITIES, held)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSORS)
def test_our_own_vectors_are_exact_when_compiled_for(name: str, tmp_path: Path) -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("these are names of x86-64 processors")
    ask = PROCESSORS[name]
    if ask is not None:
        _skip_without(name, ask)
    _skip_the_best(name, PROCESSORS)
    held = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    _run(["../unit/test_vectors.py"], held)


def _skip_without(name: str, question: str) -> None:
    ask = getattr(torch.cpu, question, None)
    if ask is None:
        pytest.skip(f"this torch cannot tell whether the CPU has {name}")
    if not ask():
        pytest.skip(f"this CPU has no {name}")


def _skip_the_best(name: str, known: Mapping[str, str | None]) -> None:
    """What the CPU does unless it is held to less, all other tests run with, more examples too."""
    there = [one for one, ask in known.items() if ask is None or getattr(torch.cpu, ask, bool)()]
    if name == there[-1]:
        pytest.skip(f"{name} is the best that this CPU has: the tests themselves run so")


def _run(files: list[str], held: dict[str, str]) -> None:
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
         *(str(folder / file) for file in files)],
        cwd=folder.parent.parent, env=os.environ | held | {"HWSIM_EXAMPLES": "10"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
