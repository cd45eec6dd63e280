"""The file of a map: the requests, and the answers so far; it survives a kill.

It is an SQLite database. Each write is one transaction; while a map runs the database has a
write-ahead log beside it (`-wal`) and is locked against other processes.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import tempfile
import threading
import weakref
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clarifai_magic.errors import CallError, ItemsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_APPLICATION = 0x434D4150  # "CMAP": distinguishes the file from other databases
_FORMAT = 1
_PATIENCE = 2.0  # seconds for another process to release the file
# https://www.sqlite.org/rescode.html
_IN_USE = {5, 6}
_DAMAGED = 11
_FULL = 13
_NO_DATABASE = 26
_SCHEMA = f"""
    PRAGMA application_id = {_APPLICATION};
    PRAGMA user_version = {_FORMAT};
    CREATE TABLE map (method TEXT, kind TEXT, request BLOB, batch INTEGER, total INTEGER,
        writer BLOB);
    CREATE TABLE items (number INTEGER PRIMARY KEY, digest BLOB, answer BLOB);
"""
Row = tuple[int, "bytes | None", bytes]

_CODE_OF = {
    "database is locked": 5,
    "database disk image is malformed": 11,
    "database or disk is full": 13,
    "file is not a database": 26,
}
"""SQLite's result codes by what `sqlite3_errstr` says of them."""


class About(NamedTuple):
    """A map's description.

    Attributes
    ----------
    method : str
        Bare name.
    kind : str
        Full name of the items' type.
    request : bytes
        What all requests have in common.
    batch : int
        The most items in one request.
    total : int or None
        Number of items; None if not yet known.
    """

    method: str
    kind: str
    request: bytes
    batch: int
    total: int | None


class SavedMap:
    """The file of a map.

    Parameters
    ----------
    path : Path
        Where it is.
    about : About, optional
        The map's description: creates a new file that only its owner can read. Without it, the
        file must exist.

    Attributes
    ----------
    about : About
        What the map does.

    Raises
    ------
    ItemsError
        If a new file's path exists, or the file has no map.
    CallError
        If it cannot be read or written.
    """

    def __init__(self, path: Path, about: About | None = None) -> None:
        self.path = path.absolute()  # `%cd` changes nothing
        self._one_at_a_time = threading.RLock()  # a thread may save what another fills
        self._file: tuple[int, int] | None = None
        self._refuse_no_file()
        if about is not None:
            with self._told():
                self._make(about)
        with self._told():
            self._connection = self._opened()
            self.about = self._read_about()
            self._writers = {self._writer()}
            self._file = self._found()

    def _refuse_no_file(self) -> None:
        """Refuse a path that no file can have."""
        try:
            mode = self.path.stat().st_mode
        except ValueError:  # a character that the system takes in no path
            raise ItemsError(f"{self.path.name!r} is no file name.", "Pass another path.") from None
        except OSError:  # there is nothing yet, or it is told when it is used
            return
        if not stat.S_ISREG(mode):
            raise ItemsError(f"{self.path} is not a file.", "Pass the path of one: FOLDER/run.db.")

    def _make(self, about: About) -> None:
        """Complete it before it gets its name."""
        if self.path.exists():
            raise self._taken()
        file, made = tempfile.mkstemp(dir=self.path.parent, prefix=".clarifai-")
        os.close(file)
        try:
            with closing(sqlite3.connect(made)) as connection:
                connection.executescript(_SCHEMA)
                connection.execute("INSERT INTO map VALUES (?, ?, ?, ?, ?, x'')", about)
                connection.commit()
            self._name(made)
        except FileExistsError:
            raise self._taken() from None
        finally:
            with suppress(FileNotFoundError):
                Path(made).unlink()

    def _name(self, made: str) -> None:
        """Give a file the path, unless there is one."""
        try:
            os.link(made, self.path)
        except FileExistsError:
            raise
        except OSError:  # there are no hard links on network drives, such as Colab's of Google
            self.path.touch(mode=0o600, exist_ok=False)
            Path(made).replace(self.path)

    def _taken(self) -> ItemsError:
        return ItemsError(
            f"{self.path.name} exists already.",
            f"clarifai_session.resume({self.path.name!r}, items) goes on with a map that is saved "
            "there; for a new one pass another path.",
        )

    def _opened(self) -> sqlite3.Connection:
        if not self.path.exists():
            raise ItemsError(f"There is no file {self.path}.", "Check the path.")
        # For other threads: an Answers may be read in one while another fills it.
        made = sqlite3.connect(self.path, timeout=_PATIENCE, check_same_thread=False)
        made.isolation_level = None
        weakref.finalize(self, made.close)
        return made

    def _read_about(self) -> About:
        [application] = self._connection.execute("PRAGMA application_id").fetchone()
        [version] = self._connection.execute("PRAGMA user_version").fetchone()
        if (application, version) != (_APPLICATION, _FORMAT):
            raise self._no_map()
        about = self._connection.execute("SELECT * FROM map").fetchone()
        if about is None:
            raise self.damaged()
        return About(*about[:-1])

    def lock(self) -> bool:
        """Keep others out, and make writing quick, until `unlock`.

        Returns
        -------
        bool
            Whether others have written to the file since this was last unlocked.
        """
        self.refuse_gone()
        with self._one_at_a_time, self._told():
            # In this order: the log then needs no shared memory, which network drives lack.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            mine = os.urandom(8)
            with self._transaction() as connection:
                others = self._writer() not in self._writers
                connection.execute("UPDATE map SET writer = ?", (mine,))
            self._writers.add(mine)
        return others

    def _found(self) -> tuple[int, int] | None:
        """Which file is at the path; None if there is none."""
        with suppress(FileNotFoundError):
            status = self.path.stat()
            return status.st_dev, status.st_ino
        return None

    def refuse_gone(self) -> None:
        """Tell that what is written does not last.

        Raises
        ------
        CallError
            If the file was deleted, moved or replaced.
        """
        if self._found() != self._file:
            raise CallError(
                f"{self.path.name} was deleted or moved: its answers go with this process.",
                "Read the answers now, and map what is left to another file.",
            )

    def _writer(self) -> bytes:
        """The one who locked the file last: each `lock` is another."""
        found: bytes = self._connection.execute("SELECT writer FROM map").fetchone()[0]
        return found

    def unlock(self) -> None:
        """Leave one file behind, for other processes too."""
        if self._found() != self._file:
            return  # its log is at hand only as long as it is locked
        with (
            self._one_at_a_time,
            suppress(sqlite3.Error),
        ):  # a full disk: the log stays, and serves as well
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("PRAGMA locking_mode = NORMAL")
            self._connection.execute("SELECT * FROM map").fetchone()

    def write(self, rows: Iterable[Row]) -> None:
        """Write numbers, digests and answers in one transaction: all of them or none.

        Raises
        ------
        CallError
            If that fails.
        """
        self.refuse_gone()
        with self._told(), self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", rows)

    def begin(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Write numbers and digests of items that are started, unless they are there.

        Raises
        ------
        CallError
            If that fails.
        """
        self.refuse_gone()
        with self._told(), self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, NULL)", rows)

    def forget(self, numbers: Iterable[int]) -> None:
        """Forget that items were started."""
        with self._told(), self._transaction() as connection:
            connection.executemany(
                "DELETE FROM items WHERE number = ? AND answer IS NULL", ((n,) for n in numbers)
            )

    def end(self, total: int) -> None:
        """Write the number of items."""
        with self._told(), self._transaction() as connection:
            connection.execute("UPDATE map SET total = ?", (total,))
            self.about = self.about._replace(total=total)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with self._one_at_a_time:
            self._roll_back()  # what an interrupt left open
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # SQLite may have done so by itself
                self._connection.execute("ROLLBACK")

    def answer(self, number: int) -> bytes | None:
        """The answer to an item, if there is one."""
        found: bytes | None = self._one("SELECT answer FROM items WHERE number = ?", number)
        return found

    def digest(self, number: int) -> bytes | None:
        """An item's digest, if it is stored."""
        found: bytes | None = self._one("SELECT digest FROM items WHERE number = ?", number)
        return found

    def _one(self, query: str, number: int) -> Any:
        with self._told():
            row = self._connection.execute(query, (number,)).fetchone()
        return row and row[0]

    def length(self) -> int:
        """The known number of items."""
        with self._told():
            [last] = self._connection.execute("SELECT max(number) FROM items").fetchone()
        return max(self.about.total or 0, 0 if last is None else last + 1)

    def numbers(self, *, answered: bool) -> Iterator[int]:
        """The items with an answer; or the started ones without."""
        there = "NOT NULL" if answered else "NULL"
        query = f"SELECT number FROM items WHERE answer IS {there} ORDER BY number"  # noqa: S608
        with self._told():
            for (number,) in self._connection.execute(query):
                yield number

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors and the system's in words."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> Exception:
        # Python 3.10 has no code, but the constant text that SQLite gives for each.
        code = getattr(error, "sqlite_errorcode", _CODE_OF.get(str(error), 0)) & 0xFF
        if code in _IN_USE:
            return CallError(
                f"{self.path.name} is in use by another process.",
                "End the map there, or its kernel, first.",
            )
        if code == _NO_DATABASE:
            return self._no_map()
        if code == _DAMAGED:
            return self.damaged()
        full = code == _FULL or getattr(error, "errno", 0) == errno.ENOSPC
        return CallError(
            f"{self.path.name} cannot be used: {'the disk is full' if full else error}.",
            "Answers are kept in memory meanwhile; resume() continues, and writes them."
            if self._file
            else "Check the path, the space on its disk, and that you may write to its folder.",
        )

    def _no_map(self) -> ItemsError:
        return ItemsError(
            f"{self.path.name} is not the file of a map.",
            "Pass the path that save= or answers.save(…) was given.",
        )

    def damaged(self) -> CallError:
        """The error of a file that is not as this left it."""
        return CallError(
            f"{self.path.name} is damaged: part of it is missing or was changed.",
            "Resume from a copy of it, or map the items again to another file.",
        )
