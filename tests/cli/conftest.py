"""The command line on few real digits: a small data folder, one network, its image, one run."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hwsim import cli
from tests.digits import data_folder

#: What most commands are given: small, so that they are quick. And one with shared weights.
MODEL = "lenet5"
HASHED = "mnist-cnn-h16"


class Answer(NamedTuple):
    """What a command left on the screen."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error: nothing else was printed, and the exit code is 2."""
        return self._line(2)

    @property
    def interrupted(self) -> str:
        """The same of a command that was interrupted, whose exit code is 130."""
        return self._line(130)

    def _line(self, code: int) -> str:
        assert self.code == code
        assert self.out == ""
        assert self.err.startswith("hwsim: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        return self.err.strip()


Run = Callable[..., Answer]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("attack", "hfgsm")``: the entry point with these arguments, in this process."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # main replaces it

    def entry(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["hwsim", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return Answer(int(stop.value.code or 0), *capfd.readouterr())

    return entry


@pytest.fixture(scope="package")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of all tests here."""
    return data_folder(tmp_path_factory.mktemp("digits"), 64, 600)


@pytest.fixture
def few_digits(
    place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A smaller one for the test that trains."""
    folder = data_folder(tmp_path_factory.mktemp("few"), 32, 20)
    monkeypatch.setenv("HWSIM_DATA", str(folder))
    return folder


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """A handful of images does not repay waking threads, least of all on a busy machine."""
    import numba
    import torch

    before = torch.get_num_threads(), numba.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # of the processes started here
        torch.set_num_threads(1)
        numba.set_num_threads(1)
        yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.fixture(scope="package")
def _everywhere(digits: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWSIM_DATA", str(digits))
        yield


@pytest.fixture(autouse=True)
def place(
    _everywhere: None, _compile_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Every test works in an empty folder of its own, on the small data folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="package")
def _compile_once() -> Iterator[None]:
    """Compiling takes seconds: do it once for each network of the zoo, engine and data folder."""
    with pytest.MonkeyPatch.context() as patch:
        from hwsim.networks import open as networks
        from hwsim.runs import experiment

        patch.setattr(experiment, "Engine", cache(experiment.Engine))
        compiled, known = networks.open_network, {}

        def open_network(name: str, *rest: Any, **more: Any) -> Any:
            if "/" in name or networks.is_image(name) or networks.is_foreign(name):
                return compiled(name, *rest, **more)
            key = (name, *rest[:2], os.environ.get("HWSIM_DATA"))
            if key not in known:
                known[key] = compiled(name, *rest)
            return known[key]

        patch.setattr(networks, "open_network", open_network)
        yield


@pytest.fixture(scope="package")
def network(_everywhere: None, _compile_once: None) -> Any:
    """The network that the tests attack, compiled once."""
    from hwsim.networks.open import open_network

    return open_network(MODEL, None, None)


@pytest.fixture(scope="package")
def image(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its memory image. Tests that change it take a copy."""
    from hwsim.rom import image as rom

    path = tmp_path_factory.mktemp("image") / "network.hne"
    rom.save(network.program, path)
    return path


@pytest.fixture(scope="package")
def small(_everywhere: None) -> Any:
    """Pool, fc, fc: a few thousand cycles on ``tiny``; it knows some digits."""
    import torch
    from torch import nn

    from hwsim.models.datasets.dataset import load_dataset
    from hwsim.networks import open as networks
    from hwsim.numbers.config import load_config

    train = load_dataset("mnist", "train")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden = nn.Linear(196, 12), nn.ReLU()
        net = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), *hidden, nn.Linear(12, 10))
    x, y = networks.pixels(train), torch.from_numpy(train.labels)
    weights = list(net.parameters())
    # By hand: loading torch.optim costs more than all that happens here.
    for _ in range(60):
        steps = torch.autograd.grad(nn.functional.cross_entropy(net(x), y), weights)
        with torch.no_grad():
            for weight, step in zip(weights, steps, strict=True):
                weight -= 0.3 * step
    return networks.Network(
        "small", net.eval(), networks.compile(net, x, load_config("tiny")), "mnist"
    )


@pytest.fixture
def offered(small: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line opens this network, whatever it is asked for."""
    from hwsim.networks import open as networks

    monkeypatch.setattr(networks, "open_network", lambda *_: small)
    return small


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what differs from run to run."""
    return {k: v for k, v in result.items() if k not in ("seconds", "command", "model")}


def read(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found
