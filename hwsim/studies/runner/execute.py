"""Computing one row, in whatever process: a task as JSON in, a row as JSON out."""

from __future__ import annotations

from hwsim.errors import InputError
from hwsim.files.content import canonical
from hwsim.files.reading import parse_json
from hwsim.studies.runner.task import resolve


def execute(text: str) -> str:
    """Compute the row of ``Task.text()``: JSON in, JSON out, so that it runs in any process.

    Raises InputError where this process has other code or other files than the one that asked.
    """
    task = parse_json(text)
    function = resolve(task["function"])
    here = int(function.version)  # type: ignore[attr-defined]
    if here != task["version"]:
        raise InputError(
            f"a worker has version {here} of {task['function']}, not {task['version']}: install "
            "the same hwsim on all machines"
        )
    if task["inputs"]:
        # Here and not above: who only hands rows out needs no torch, which loads for seconds.
        from hwsim.studies.runner.machines import digests

        found = digests(task["function"], task["parameters"])
        if other := sorted(k for k, v in task["inputs"].items() if found.get(k) != v):
            raise InputError(
                f"a worker has another {other[0]} than this machine: give all machines the same "
                "files"
            )
    return canonical(function(**task["parameters"]))
