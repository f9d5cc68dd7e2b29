"""The networks of ../shared/cases, where they are there: 90% of the classes are those of float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hwsim.compiler.compiler import compile
from tests.executor import logits

CASES = Path(__file__).parents[3] / "shared" / "cases" / "networks.py"


def networks() -> dict[str, Any]:
    if not CASES.exists():
        return {}
    found: dict[str, Any] = {}
    exec(CASES.read_text().split("ok=0")[0], found)
    nets: dict[str, Any] = found["nets"]
    return nets


@pytest.mark.slow
@pytest.mark.skipif(not CASES.exists(), reason="needs shared/cases beside the checkout")
def test_all_eighteen_compile_and_agree() -> None:
    told = {}
    for name, (module, shape) in networks().items():
        for part in module.eval().modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean, 0, 0.1)
                nn.init.uniform_(part.running_var, 0.5, 1.5)
        x = torch.rand(32, *shape)
        with torch.no_grad():
            expected = module(x).numpy()
        found = logits(compile(module, x), x)
        told[name] = float((found.argmax(1) == expected.argmax(1)).mean())
    assert len(told) == 18
    assert min(told.values()) >= 0.9, told
