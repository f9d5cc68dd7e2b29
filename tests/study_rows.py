"""Functions of rows for the tests of the studies' runner; each leaves a line in a log."""

from __future__ import annotations

import os
import time
from pathlib import Path

from hwsim.studies.runner.task import Row, Task, version

#: Of a process and those that it starts; a killed run's orphans never see another run's gate open.
GATE = "HWSIM_TEST_GATE"
#: Rows that wait for no gate.
FREE = 3


@version(1)
def square(x: int, log: str, seconds: float = 0.0) -> Row:
    """x², after a while; the line is written when the row is done.

    Where GATE names a file that is not there, rows from the fourth on wait for it.
    """
    time.sleep(seconds)
    while x >= FREE and not Path(os.environ.get(GATE, os.devnull)).exists():
        time.sleep(0.01)
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{x} {os.getpid()}\n")
    return {"square": x * x}


def squares(count: int, log: Path, seconds: float = 0.0) -> list[Task]:
    path = "tests.study_rows:square"
    return [Task(path, {"x": x, "log": str(log), "seconds": seconds}) for x in range(count)]


def computed(log: Path) -> list[int]:
    """What was computed, in the order in which it was done."""
    if not log.exists():
        return []
    return [int(line.split()[0]) for line in log.read_text(encoding="utf-8").splitlines()]
