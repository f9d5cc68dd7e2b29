"""Rows kept by content in one SQLite file: what is in it never has to be computed again."""

from __future__ import annotations

import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hwsim.errors import InputError
from hwsim.files.content import canonical, digest
from hwsim.files.reading import check_regular, parse_json
from hwsim.studies.runner.task import Row, Task

#: Of the tables below. A store of a higher one was written by a newer hwsim; rows of format 1 have
#: no digest.
FORMAT = 2
#: Bytes of a store; a row takes about a thousand.
MAX_STORE = 1 << 32
#: Marks the file as ours ("HNES"), where SQLite keeps such a mark.
APPLICATION = 0x484E4553

_TABLE = """
CREATE TABLE rows (
    key TEXT PRIMARY KEY,
    function TEXT NOT NULL,
    version INTEGER NOT NULL,
    parameters TEXT NOT NULL,
    inputs TEXT NOT NULL,
    row TEXT NOT NULL,
    seconds REAL NOT NULL,
    made TEXT NOT NULL,
    digest TEXT NOT NULL
) WITHOUT ROWID
"""


class Store:
    """The file, opened for one run; a row is in it whole or not at all, whatever kills the run.

    Write-ahead logging keeps readers and one writer apart, and every row is its own transaction.
    Every row carries a digest over all its columns; one that does not match is named in a warning,
    dropped, and counts as never computed.
    Raises InputError for a file that is no store, damaged, of another format, or not writable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                check_regular(path, MAX_STORE)
            self._base = sqlite3.connect(path, timeout=30.0, isolation_level=None)
            # A flipped bit may leave no UTF-8: then it is the digest that says so.
            self._base.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            try:
                self._open()
            except BaseException:
                self._base.close()
                raise

    def _open(self) -> None:
        ask = self._base.execute
        self._ours()  # before the first change to somebody else's file
        ask("PRAGMA journal_mode=WAL")
        ask("PRAGMA synchronous=FULL")
        ask("BEGIN IMMEDIATE")  # two runs may meet a new file at once
        try:
            (found,) = ask("PRAGMA user_version").fetchone()
            if not self._ours():
                ask(_TABLE)
                ask(f"PRAGMA application_id={APPLICATION}")
                ask(f"PRAGMA user_version={FORMAT}")
            elif found > FORMAT:
                raise InputError(
                    f"{self.path}: written by a newer hwsim (format {found}, this one knows "
                    f"{FORMAT}): update hwsim or choose another --store"
                )
            elif found < FORMAT:
                raise InputError(
                    f"{self.path}: written by an older hwsim (format {found}), whose rows carry no "
                    "digest, so damage would go unnoticed: delete it, or choose another --store"
                )
            ask("COMMIT")
        except BaseException:
            if self._base.in_transaction:
                ask("ROLLBACK")
            raise
        (state,) = ask("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise InputError(self._damaged(state))

    def _ours(self) -> bool:
        """Whether it is a store; False for an empty file. Raises InputError for anything else."""
        ask = self._base.execute
        (application,) = ask("PRAGMA application_id").fetchone()
        (tables,) = ask("SELECT count(*) FROM sqlite_master").fetchone()
        if application == APPLICATION:
            return True
        if application == 0 and tables == 0:
            return False
        raise InputError(f"{self.path}: not a store of studies: choose another --store")

    def _damaged(self, reason: object) -> str:
        what = " ".join(str(reason).replace("*", "").split())
        return f"{self.path}: damaged ({what}): delete it, or choose another --store"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise InputError(f"{self.path}: cannot be used: {error}") from None
        except sqlite3.DatabaseError as error:
            raise InputError(self._damaged(error)) from None
        except UnicodeDecodeError:  # SQLite quotes what is damaged
            raise InputError(self._damaged("its tables")) from None

    def get(self, task: Task) -> Row | None:
        """Its row, if there is one that is as it was written."""
        found = self._read(task)
        return None if found is None else found[0]

    def _read(self, task: Task) -> tuple[Row, float] | None:
        with self._explained():
            found = self._base.execute("SELECT * FROM rows WHERE key = ?", (task.key,)).fetchone()
        if found is None:
            return None
        *columns, kept = found
        try:
            if digest(columns) == kept and columns[:5] == self._head(task):
                row: Row = parse_json(columns[5])
                return row, float(columns[6])
        except (TypeError, ValueError):
            pass  # a flipped bit may leave anything
        with self._explained():
            self._base.execute("DELETE FROM rows WHERE key = ?", (task.key,))
        warnings.warn(
            f"{self.path}: row {task.key[:12]} of {task.function} is damaged: it is computed again",
            RuntimeWarning,
            stacklevel=3,
        )
        return None

    @staticmethod
    def _head(task: Task) -> list[object]:
        """The columns that follow from a task."""
        parameters, inputs = canonical(dict(task.parameters)), canonical(dict(task.inputs))
        return [task.key, task.function, task.version, parameters, inputs]

    def put(self, task: Task, row: Row, seconds: float) -> None:
        """Keep a row, on disk when this returns; one that is there already stays."""
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        columns = [*self._head(task), canonical(row), float(seconds), made]
        marks = ", ".join("?" * (len(columns) + 1))
        with self._explained():
            self._base.execute(
                f"INSERT OR IGNORE INTO rows VALUES ({marks})", (*columns, digest(columns))
            )

    def seconds(self, tasks: Iterable[Task]) -> float:
        """What the rows of these tasks took to compute, added up."""
        rows = map(self._read, tasks)
        return sum((found[1] for found in rows if found), 0.0)

    def __len__(self) -> int:
        with self._explained():
            return int(self._base.execute("SELECT count(*) FROM rows").fetchone()[0])

    def close(self) -> None:
        self._base.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
