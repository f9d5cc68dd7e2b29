"""One cocotb build of the whole engine for all tests, and a table of what they compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hwsim.report.pages import write_json
from tests.once import once
from tests.rtl import tally
from tests.rtl.configs import FULL

if TYPE_CHECKING:
    from tests.rtl.scenes import Place


@pytest.fixture(scope="session")
def engine_for_cocotb(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """hne_top of configuration ``tiny``, compiled for cocotb: its runner and its folder."""
    from cocotb_tools.runner import get_runner

    from tests.rtl.coverage import simulations
    from tools.draw.record import compile_top

    def compiled(folder: Path) -> None:
        compile_top(folder, *simulations.build_args())

    return get_runner("verilator"), once(tmp_path_factory, "hne_top", compiled)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Puts a process of some behaviour in place of the binary; started again it is honest."""
    from hwsim.rtl import backend, simulator
    from tests.rtl import fakes
    from tests.rtl.scenes import truth

    def place(behaviour: str) -> Path:
        path = fakes.script(tmp_path / "hne", truth().payload(), behaviour)
        for module in (simulator, backend):
            monkeypatch.setattr(module, "build", lambda *_: path)
        return path

    return place


def pytest_sessionfinish(session: pytest.Session) -> None:
    # A worker of xdist hands over what it compared; who has none of them shows what he did himself.
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tally"] = tally.packed()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tally.unpack(getattr(node, "workeroutput", {}).get("tally", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = tally.rows()
    if not rows:
        return
    show = terminalreporter.write_line
    show("equal in the Verilog and the simulator, difference 0:")
    show(f"  {'':24}{'networks':>10}" + "".join(f"{name:>13}" for name in tally.COLUMNS))
    for name, networks, counts in rows:
        cells = "".join(f"{counts[column]:>13,}" for column in tally.COLUMNS)
        show(f"  {name:24}{networks:>10,}{cells}")
    if FULL:
        result = [{"name": name, "networks": networks, **counts} for name, networks, counts in rows]
        path = write_json({"equal": result}, Path("runs/rtl.json"))
        show(f"-> {path}")
