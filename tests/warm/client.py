"""The ``hwsim`` that asks the server: copied into a folder beside ``server`` and ``fresh``.

It is run by ``python -IS``, so that it begins in milliseconds, and must import nothing of ours.
Where a forked process cannot stand for a fresh one, it becomes a fresh one.
"""

import json
import os
import signal
import socket
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
FRESH = os.path.join(FOLDER, "fresh")


def ask() -> str:
    """What became of the command: its exit code, or minus its signal; else "fresh"."""
    try:
        for stream in (0, 1, 2):
            os.fstat(stream)
    except OSError:  # it is closed, and the socket would take its place
        return "fresh"
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.path.join(FOLDER, "server"))
        socket.send_fds(server, [b"."], [0, 1, 2])
        asked = {"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}
        server.sendall(json.dumps(asked).encode())
        server.shutdown(socket.SHUT_WR)
        with server.makefile() as answer:
            return answer.read()


def main() -> None:
    """Be what the command was."""
    answer = ask()
    if answer == "fresh":
        script = os.readlink(FRESH)
        os.execv(script, [script, *sys.argv[1:]])
    code = int(answer)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
