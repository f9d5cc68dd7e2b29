"""Results do not depend on the type that torch makes by default."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import pytest

# Run in a process of its own, for each default type: what the package makes while it is imported
# is made under that type too. The networks and images are float32 by name.
PROGRAM = """
import hashlib, json, sys
import torch
from torch import nn

torch.set_default_dtype(getattr(torch, sys.argv[1]))

from hwsim.attacks.known import ATTACKS, TRANSFORMS, make_attack
from hwsim.compiler.compiler import compile
from hwsim.engine.module import Engine
from hwsim.models.layers import compress
from hwsim.program.digest import program_digest

F32 = torch.float32


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, dtype=F32)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(36, 5, dtype=F32)

    def forward(self, x):
        x = (x - 0.1307) / 0.3081
        return self.fc(torch.flatten(self.pool(torch.relu(self.conv(x) * 1.7)), 1))


def digest(*tensors):
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


generator = torch.Generator().manual_seed(0)
plain = Net()
with torch.no_grad():
    for parameter in plain.parameters():
        parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=F32))
images = torch.randint(256, (6, 1, 8, 8), generator=generator).to(F32) / 255
labels = plain.eval()(images).argmax(1)

facts = {}
hashed = compress(plain, 1 / 4).eval()
facts["compressed"] = digest(*hashed.state_dict().values())
for name, model in {"plain": plain, "hashed": hashed}.items():
    facts[f"program {name}"] = digest(program_digest(compile(model, images)))
engine = Engine(compile(hashed, images))
facts["logits"] = digest(engine(images))
facts["state"] = digest(*engine.state_dict().values())
facts["jacobian"] = digest(torch.autograd.functional.jacobian(lambda x: engine(x).sum(0), images))

few = {
    "cw-l2": dict(steps=8, binary_search_steps=3), "cw-l0": dict(steps=6),
    "cw-linf": dict(steps=6), "square": dict(steps=6), "noise": dict(draws=3),
    "decision": dict(steps=1, evaluations=4, tries=4), "apgd": dict(steps=6),
    "apgd-t": dict(steps=4, targets=2), "fmn": dict(steps=8), "ddn": dict(steps=8),
    "sigma-zero": dict(steps=8), "alma": dict(steps=8), "fab": dict(steps=4),
    "autoattack": dict(steps=4, targets=2, queries=5),
}
runs = {name: (name, few.get(name, {})) for name in ATTACKS}
runs["noise sign"] = "noise", dict(draws=3, kind="sign")
for name in TRANSFORMS:
    runs[f"mifgsm {name}"] = "mifgsm", dict(transforms=[name])
budgets = {"l0": 9.0, "l2": 1.5, "linf": 0.15}
for run, (name, options) in runs.items():
    attack = make_attack(name, **options)
    for machine, model in {"float": hashed, "engine": engine}.items():
        result = attack(model, images, labels, epsilon=budgets[attack.norm])
        facts[f"{run} on {machine}"] = digest(result.adversarial, result.success)
print(json.dumps(facts))
"""


@cache
def facts(dtype: str) -> dict[str, str]:
    """Digest of each result, by its name."""
    call = [sys.executable, "-c", PROGRAM, dtype]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_networks_programs_and_every_attack_are_the_same_under_float64() -> None:
    single, double = facts("float32"), facts("float64")
    assert len(single) > 30
    assert {name for name in single if single[name] != double.get(name)} == set()
