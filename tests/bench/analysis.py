"""The timing analysis against the engine's forward pass of one image, and its memory."""

from __future__ import annotations

import subprocess
import sys

import torch

import hwsim
from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.models.architectures import vgg16
from hwsim.models.layers import compress
from hwsim.models.residual import resnet20
from hwsim.networks.open import open_network
from hwsim.program.program import Program
from tests.bench.forward import random_network
from tests.bench.measure import Line, seconds

#: Reports the peak resident memory, in bytes, of a forward and backward pass.
_PASS = """
import resource, torch
from tests.bench.forward import random_vgg16
module, engine = random_vgg16()
del module
x = torch.rand(64, 3, 32, 32, requires_grad=True)
engine(x).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def _compare(name: str, program: Program, goal: str) -> Line:
    engine = Engine(program)
    image = torch.rand(1, *program.input_shape)
    with torch.inference_mode():
        tasks = {"analysis": lambda: analyze(program), "engine": lambda: engine(image)}
        taken = seconds(tasks, 5)
    ours, peer = taken["analysis"], taken["engine"]
    return Line(name, ours, peer, "s", ours / peer, "Engine forward of one image", goal)


def mnist() -> Line:
    """Cycles of mnist-cnn-h16."""
    return _compare("timing-mnist-h16", open_network("mnist-cnn-h16").program, "<= 0.1 s")


def vgg() -> Line:
    """Cycles of VGG-16 at 1/16."""
    torch.manual_seed(0)
    module = compress(vgg16(batch_norm=False), 1 / 16).eval()
    program = hwsim.compile(module, torch.rand(4, 3, 32, 32))
    return _compare("timing-vgg16", program, "<= 1 s")


def residual() -> Line:
    """Cycles of ResNet-20."""
    _, engine = random_network(resnet20)
    return _compare("timing-resnet20", engine.program, "<= 0.1 s")


def images() -> Line:
    """Cycles of 1,000 images of mnist-cnn-h16-banked, zeros skipped, which take a forward pass."""
    program = open_network("mnist-cnn-h16-banked").program.skipping()
    engine, batch = Engine(program), torch.rand(1000, *program.input_shape)
    with torch.inference_mode():
        tasks = {"cycles": lambda: engine.cycles(batch), "engine": lambda: engine(batch)}
        taken = seconds(tasks, 5)
    ours, peer = taken["cycles"], taken["engine"]
    name, peer_name = "cycles-mnist-h16-banked", "Engine forward of the same images"
    return Line(name, ours, peer, "s", ours / peer, peer_name, "<= 1.5", "1,000 images")


def memory() -> Line:
    """VGG-16, batch 64, forward and backward, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _PASS], capture_output=True, text=True, check=True)
    ours, limit = int(done.stdout) / 2**30, 4.0
    return Line("memory-vgg16", ours, limit, "GiB", ours / limit, "limit", "<= 1.0")
