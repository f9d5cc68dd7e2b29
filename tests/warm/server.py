"""The process that others are forked from: run as a script with a folder, until stdin ends.

For each command it forks a keeper, which forks the command, waits for it and tells the client.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import multiprocessing.process
import os
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from types import ModuleType
from typing import Any, NoReturn

#: What commands import of other people. None of it may leave a thread behind.
LIBRARIES = (
    "click", "jinja2", "matplotlib.backends.backend_agg", "matplotlib.figure", "numba", "numpy",
    "platformdirs", "pydantic.main", "rich.console", "rich.progress", "rich.table",
    "safetensors.torch", "torch", "torch.nn.functional",
)  # fmt: skip
#: Variables that Python or a library reads as it starts: those of a command must be the server's.
READ_AT_START = (
    "ATEN_", "BLIS_", "DNNL_", "GOMP_", "KMP_", "LANG", "LC_", "LD_", "MKL_", "NUMBA_", "OMP_",
    "ONEDNN_", "OPENBLAS_", "PYTHON", "TORCH", "TZ",
)  # fmt: skip


def at_start(environment: dict[str, str]) -> dict[str, str]:
    """Those of the variables that are read before a command begins."""
    return {k: v for k, v in environment.items() if k.startswith(READ_AT_START)}


def serve(folder: str) -> dict[str, Any]:
    """Returns in the process of each command, with what was asked for; the server's own exits."""
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as ready:
        listener.bind(os.path.join(folder, "server"))
        listener.listen()
        print("ready", flush=True)
        ready.register(listener, selectors.EVENT_READ)
        ready.register(0, selectors.EVENT_READ)
        while True:
            events = {key.fd for key, _ in ready.select()}
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
            if 0 in events:
                os._exit(0)
            connection = listener.accept()[0]
            if os.fork() == 0:
                return keep(connection)
            connection.close()


def keep(connection: socket.socket) -> dict[str, Any]:
    """Returns in the process of the command; the keeper exits once it has answered."""
    streams = socket.recv_fds(connection, 1, 3)[1]
    with connection.makefile() as text:
        asked: dict[str, Any] = json.loads(text.read())
    if at_start(asked["environment"]) != at_start(dict(os.environ)):
        answer = "fresh"
    elif pid := os.fork():
        answer = str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    else:
        connection.close()
        return asked | {"streams": streams}
    with suppress(OSError):  # the client may be gone
        connection.sendall(answer.encode())
    os._exit(0)


def become(asked: dict[str, Any], script: str) -> None:
    """Give this process the command's streams, folder, environment and arguments."""
    for number, stream in enumerate(asked["streams"]):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before: TextIOWrapper = getattr(sys, name)
        raw = FileIO(number, "w" if number else "r", closefd=False)
        stream = TextIOWrapper(
            BufferedWriter(raw) if number else BufferedReader(raw), before.encoding, before.errors,
            line_buffering=number == 2 or os.isatty(number),
        )  # fmt: skip
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv = [script, *asked["arguments"]]
    sys.path[0] = os.path.dirname(script)
    multiprocessing.process.ORIGINAL_DIR = asked["folder"]  # type: ignore[attr-defined]
    sys.modules["numpy"].random.seed()  # others seed themselves again in a fork


def run(script: str) -> int:
    """Run it as Python runs a script; the exit code, or minus the signal that it is to end by."""
    module = ModuleType("__main__")
    module.__file__ = script
    sys.modules["__main__"] = module
    try:
        with open(script, encoding="utf-8") as text:
            code = compile(text.read(), script, "exec")
        exec(code, module.__dict__)
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return (stop.code or 0) & 0xFF
        print(stop.code, file=sys.stderr)
        return 1
    except BaseException as error:
        trace = error.__traceback__ and error.__traceback__.tb_next  # from the script on
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def end(code: int) -> NoReturn:
    """As Python ends, but that modules are not taken down: it takes longer than a command."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120  # Python's own
    with suppress(OSError):
        sys.stderr.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def main() -> None:
    """Serve; in the process of a command, run the console script as Python would."""
    folder = sys.argv[1]
    script = os.readlink(os.path.join(folder, "fresh"))
    for name in LIBRARIES:
        importlib.import_module(name)
    # What numba knows of NumPy it loads as it compiles, or finds, the first function of a process.
    target = importlib.import_module("numba.core.registry").cpu_target
    target.typing_context.refresh()
    target.target_context.refresh()
    ours = [name for name in sys.modules if name.partition(".")[0] in ("hwsim", "tests")]
    assert not ours, "what is ours is imported by each command"
    assert threading.active_count() == 1
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.collect()
    gc.freeze()  # otherwise the first collection of a command copies all that is here
    become(serve(folder), script)
    end(run(script))


if __name__ == "__main__":
    main()
