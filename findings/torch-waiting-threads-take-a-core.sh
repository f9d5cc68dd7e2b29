#!/usr/bin/env bash
# After an operator on several threads torch's OpenMP threads keep a core busy for milliseconds.
#
# Versions: torch 2.13.0 (a large download; the GNU OpenMP runtime of its wheel), threadpoolctl 3.8.0,
# Linux on x86-64, two cores at least.
# Behaviour: a process that sleeps after one exp() of 400,000 numbers goes on using CPU time: its
# second thread waits by spinning, milliseconds long. A thread pool of one's own that begins its work
# then shares a core with it; two threads through a small network took 1.4 times as long for it.
# torch.set_num_threads(1) does not end the threads that are there. omp_pause_resource_all of the
# runtime (OpenMP 5.0, 3.6) does, in microseconds, and the next operator starts them anew.
# What to do: call it before handing work to threads that are not torch's. OMP_WAIT_POLICY=PASSIVE
# ends the spinning too, but has to be set before torch is loaded, and slows torch's own operators.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 numpy==2.2.6 threadpoolctl==3.8.0

"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
import ctypes
import statistics
import time

import torch
from threadpoolctl import threadpool_info

torch.set_num_threads(2)
numbers = torch.ones(400_000)
(runtime,) = [each for each in threadpool_info() if each["user_api"] == "openmp"]
pause = ctypes.CDLL(runtime["filepath"]).omp_pause_resource_all


def asleep(before):
    """CPU seconds of 50 ms of sleep after an operator, in words."""
    found = []
    for _ in range(21):
        torch.set_num_threads(2)
        numbers.exp()
        before()
        start = time.process_time()
        time.sleep(0.05)
        found.append(time.process_time() - start)
    seconds = statistics.median(found)
    return "milliseconds" if seconds > 1e-3 else "nothing" if seconds < 5e-4 else f"{seconds} s"


print(runtime["internal_api"])
print("CPU time of a sleep after an operator on two threads:", asleep(lambda: None))
print("after set_num_threads(1):", asleep(lambda: torch.set_num_threads(1)))
print("after omp_pause_resource_all:", asleep(lambda: pause(1)))
PY

diff - "$folder/seen" <<'SEEN'
openmp
CPU time of a sleep after an operator on two threads: milliseconds
after set_num_threads(1): milliseconds
after omp_pause_resource_all: nothing
SEEN
echo "as stated"
