"""Every instruction set that this CPU offers is another machine: the equalities hold on each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

#: oneDNN's names, and torch's question whether the CPU has what is new in each.
SETS = {
    "AVX2": "_is_avx2_supported",
    "AVX512_CORE_VNNI": "_is_vnni_supported",
    "AVX512_CORE_AMX": "_is_amx_tile_supported",
}
EQUALITIES = [
    "test_single_layers.py",
    "test_engine_equals_oracle.py",
    "../unit/test_kernel_proof.py",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_engine_is_exact_when_held_to(name: str, tmp_path: Path) -> None:
    ask = getattr(torch.cpu, SETS[name], None)
    if ask is None:
        pytest.skip(f"this torch cannot tell whether the CPU has {name}")
    if not ask():
        pytest.skip(f"this CPU has no {name}")
    folder = Path(__file__).parent
    # A cache of its own: the verdicts of this machine hold for all its instructions.
    held = {"ONEDNN_MAX_CPU_ISA": name, "DNNL_MAX_CPU_ISA": name, "HWSIM_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
         *(str(folder / file) for file in EQUALITIES)],
        cwd=folder.parent.parent, env=os.environ | held | {"HWSIM_EXAMPLES": "10"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
