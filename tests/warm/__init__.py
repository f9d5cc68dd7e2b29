"""``hwsim`` for tests that run many commands: forked from a process that has imported torch.

Most of a short command is the import of torch, numba and matplotlib. ``commands`` gives a folder
whose ``hwsim`` asks a server for a process that has them already. What other people wrote is loaded
in the server; every module of ours is imported by each command anew, in the order in which that
command asks for it. The process has the caller's arguments, folder, environment and streams
themselves, runs the console script of the installation as ``__main__``, and its exit code or
signal is that of the ``hwsim`` that was started.

Who follows documents is served from here: what those tests ask is what commands print and leave.
What a process is before its first line of ours runs, this cannot test, and whoever is about that
starts real ones: how processes end and load (tests/cli/test_endings.py, test_help.py,
test_bad_input.py, test_results.py), what is installed (test_packaging.py, test_isolation.py), the
first command and the example of the README (test_readme.py), the Python cells of pages. Different
from a fresh process are: libraries' warnings as they load, MPLBACKEND as matplotlib loads (we
never use pyplot), and the seed of ``hash(str)``, which is one for all.

The server starts no thread, since a fork takes none along: it imports, and never computes. (NumPy's
OpenBLAS has some from its import on, and knows about forks.)

``compiler.py`` is no process of ours: a ``c++`` for all tests, of which its docstring tells.
"""
