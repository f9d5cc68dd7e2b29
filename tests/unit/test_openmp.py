"""torch's waiting threads leave the cores to the engine's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from hwsim.engine import openmp
from hwsim.engine.chunks import in_chunks

#: Prints the threads of the process before and after they were told to rest, and twice a sum.
PROBE = """
import os, time
import torch
from hwsim.engine.openmp import rest

def threads():
    return len(os.listdir("/proc/self/task"))

torch.set_num_threads(3)
numbers = torch.ones(1 << 20)
first = float(numbers.exp().sum())
before, told = threads(), rest()
for _ in range(1000):
    if threads() == before - 2:
        break
    time.sleep(0.01)
after = threads()
print(told, before - after, float(numbers.exp().sum()) == first, threads() - after)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_threads_that_wait_for_torch_end_and_are_started_anew_when_needed() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "2", "True", "2"], done.stderr


def test_a_batch_in_chunks_tells_them_so(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(openmp, "_runtimes", lambda: (lambda how: told.append(how) or 0,))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert in_chunks(8, lambda piece: piece.stop, 4) == [4, 8]
        assert told == [1]
        torch.set_num_threads(1)
        assert in_chunks(8, lambda piece: piece.stop, 4) == [4, 8]
    finally:
        torch.set_num_threads(threads)
    assert told == [1], "one thread of the engine's wants no other core"


def test_without_such_a_runtime_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp, "_runtimes", lambda: ())
    assert not openmp.rest()
