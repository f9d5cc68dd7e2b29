"""Random float modules that are graphs: a hypothesis strategy."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

Draw = Any


class Steps(nn.Module):
    """Steps that each take earlier values by number, then a head on the last."""

    def __init__(
        self, steps: list[tuple[str, tuple[int, ...], nn.Module]], head: nn.Module
    ) -> None:
        super().__init__()
        self.kinds = [(kind, taken) for kind, taken, _ in steps]
        self.parts = nn.ModuleList(part for _, _, part in steps)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for (kind, taken), part in zip(self.kinds, self.parts, strict=True):
            if kind == "add":
                values.append(values[taken[0]] + values[taken[1]])
            elif kind == "sub":
                values.append(values[taken[0]] - values[taken[1]])
            elif kind == "cat":
                values.append(torch.cat([values[number] for number in taken], 1))
            else:
                values.append(part(values[taken[0]]))
        pooled = F.adaptive_avg_pool2d(values[-1], 1).flatten(1)
        result: Tensor = self.head(pooled)
        return result


def _norm(noise: torch.Generator, channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_(0, 0.2, generator=noise)
    norm.running_var.uniform_(0.2, 1.5, generator=noise)
    with torch.no_grad():
        norm.weight.normal_(0.5, 0.5, generator=noise)
        norm.bias.normal_(0, 0.2, generator=noise)
    return norm


@st.composite
def module_graphs(draw: Draw) -> tuple[nn.Module, Tensor]:
    """A module of 1–7 steps, all of whose values are used, and images for it."""
    seed = draw(st.integers(0, 2**16))
    noise = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    channels, height, width = (draw(st.integers(1, n)) for n in (4, 7, 7))
    x = torch.rand(12, channels, height, width, generator=noise)
    shapes = [(channels, height, width)]
    unread = {0}
    steps: list[tuple[str, tuple[int, ...], nn.Module]] = []

    def step(kind: str, taken: tuple[int, ...], part: nn.Module | None = None) -> None:
        module = part or nn.Identity()
        inputs = [torch.zeros(1, *shapes[number]) for number in taken]
        with torch.no_grad():
            if kind == "cat":
                out = torch.cat(inputs, 1)
            else:
                out = module.eval()(inputs[0]) if part else inputs[0]
        steps.append((kind, taken, module))
        shapes.append(tuple(out.shape[1:]))
        unread.difference_update(taken)
        unread.add(len(shapes) - 1)

    for _ in range(draw(st.integers(1, 5))):
        source = draw(st.integers(0, len(shapes) - 1))
        c, h, w = shapes[source]
        kind = draw(st.sampled_from(["conv", "relu", "norm", "pool", "average", "conv", "relu6"]))
        if kind == "conv":
            kernel = draw(st.integers(1, min(3, h))), draw(st.integers(1, min(3, w)))
            same = draw(st.booleans())
            groups = c if draw(st.booleans()) else 1
            out = groups * draw(st.integers(1, 2)) if groups > 1 else draw(st.integers(1, 4))
            stride = 1 if same else draw(st.integers(1, 2))
            part: nn.Module = nn.Conv2d(c, out, kernel, stride, "same" if same else 0,
                                        groups=groups)  # fmt: skip
        elif kind == "pool":
            part = nn.MaxPool2d((min(2, h), min(3, w)), draw(st.integers(1, 2)),
                                ceil_mode=draw(st.booleans()))  # fmt: skip
        elif kind == "average":
            part = nn.AvgPool2d((min(2, h), min(2, w)), draw(st.integers(1, 2)))
        else:
            part = {"relu": nn.ReLU(), "relu6": nn.ReLU6(), "norm": _norm(noise, c)}[kind]
        step(kind, (source,), part)
    # Everything is brought to the last value, so that no branch is dead.
    while len(unread) > 1:
        one, two, *_ = sorted(unread)
        if shapes[one][1:] != shapes[two][1:]:
            for number in (one, two):
                step("pool all", (number,), nn.AdaptiveAvgPool2d(1))
            one, two = len(shapes) - 2, len(shapes) - 1
        if shapes[one] == shapes[two]:
            step(draw(st.sampled_from(["add", "cat", "sub"])), (one, two))
        else:
            step("cat", (two, one))
    head = nn.Linear(shapes[-1][0], draw(st.integers(2, 5)))
    return Steps(steps, head).eval(), x
