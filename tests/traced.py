"""Modules around one operation, and what tracing makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwsim.compiler.fx_trace import trace
from hwsim.compiler.operations import Op
from hwsim.errors import CompileError

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Calls(nn.Module):
    """Convolution, the function under test, and a Linear behind it if it is given one."""

    def __init__(self, function: Any, after: int = 0, **extra: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.function = function
        for name, value in extra.items():
            setattr(self, name, value)
        self.after = nn.Linear(after, 3) if after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.after(self.function(self, self.conv(x)))
        return result


def operations_of(module: nn.Module, images: Tensor = IMAGES) -> list[Op]:
    return trace(module, images).operations


def kinds(module: nn.Module, images: Tensor = IMAGES) -> list[type[Op]]:
    return [type(op) for op in operations_of(module, images)]


def refusal(module: nn.Module, images: Tensor = IMAGES) -> str:
    with pytest.raises(CompileError) as caught:
        trace(module, images)
    message = str(caught.value)
    assert "\n" not in message
    return message


class Normalize(nn.Module):
    def __init__(self, mean: Any, std: Any, wrong: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.wrong = mean, std, wrong

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:  # cannot be traced: a Normalize is taken as a whole
            raise ValueError("images expected")
        mean = torch.as_tensor(self.mean).view(-1, 1, 1)
        return (x - mean) / torch.as_tensor(self.std).view(-1, 1, 1) * (2 if self.wrong else 1)


class Add(nn.Module):
    def __init__(self, constant: Tensor) -> None:
        super().__init__()
        self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.constant
