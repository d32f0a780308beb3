"""The queue of training runs: an SQLite file that any number of threads and processes may have open.

Every change is one transaction, flushed to disk before it is answered, so a process killed at any moment leaves an
entry as it was or as it was to become.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from audio_dcls.errors import ServiceError

RunKind = Literal["train", "study"]
RunState = Literal["queued", "running", "stopping", "stopped", "done", "failed"]
Wanted = Literal["run", "stop"]
ACTIVE: tuple[RunState, ...] = ("running", "stopping")
FINAL: tuple[RunState, ...] = ("stopped", "done", "failed")
ID_PATTERN = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
BUSY_TIMEOUT_S = 30.0
"""How long a change waits for another process's."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('train', 'study')),
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'stopping', 'stopped', 'done', 'failed')),
    wanted TEXT NOT NULL CHECK (wanted IN ('run', 'stop')),
    owner TEXT,
    config_path TEXT NOT NULL,
    folder TEXT NOT NULL,
    engine TEXT NOT NULL,
    handle TEXT,
    pid INTEGER,
    pid_started REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    idle_attempts INTEGER NOT NULL DEFAULT 0,
    last_step INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER,
    error TEXT,
    is_measured INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT
);
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, place);
CREATE TABLE IF NOT EXISTS models (
    name TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    seed INTEGER NOT NULL,
    case_name TEXT,
    step INTEGER NOT NULL,
    is_best INTEGER NOT NULL,
    created TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class RunEntry:
    """One run, as the queue knows it; how far it has come is in its folder."""

    id: str
    place: int
    """Where it stands in the queue: lower ones are started first."""
    name: str
    kind: RunKind
    state: RunState
    wanted: Wanted
    owner: str | None
    """Name of the API key that submitted it."""
    config_path: str
    folder: str
    engine: str
    handle: str | None = None
    """The engine's own name of what was started."""
    pid: int | None = None
    pid_started: float | None = None
    """When that process was made, in seconds of the epoch: pids are given anew."""
    attempts: int = 0
    """Times it was started."""
    idle_attempts: int = 0
    """Times it was started since it last made a step."""
    last_step: int = 0
    """Steps of all its seeds together when it was last started."""
    exit_code: int | None = None
    error: str | None = None
    is_measured: int = 0
    """1 once its per-class scores were asked for after its end."""
    created: str = ""
    started: str | None = None
    """When it was first started."""
    ended: str | None = None


_COLUMNS = tuple(field.name for field in dataclasses.fields(RunEntry))


@dataclass(frozen=True)
class ModelOrigin:
    """Where a model of the service came from."""

    name: str
    run_id: str
    seed: int
    case_name: str | None
    step: int
    is_best: int
    created: str


def now_text() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id() -> str:
    """An id such as `20260131-235959-0a1b2c`, in UTC."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


class RunQueue:
    """Entries in an SQLite file.

    Args:
        path: the file; made when first asked for anything.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._making = threading.Lock()
        self._is_made = False

    def add(self, entry: RunEntry) -> RunEntry:
        """Put an entry at the end of the queue; its `place` is given to it.

        Raises:
            sqlite3.IntegrityError: the id is taken.
        """
        with self._transaction() as connection:
            entry = dataclasses.replace(entry, place=_next_place(connection))
            names = ", ".join(_COLUMNS)
            marks = ", ".join(f":{name}" for name in _COLUMNS)
            connection.execute(f"INSERT INTO runs ({names}) VALUES ({marks})", dataclasses.asdict(entry))
        return entry

    def get(self, run_id: str) -> RunEntry:
        """An entry by its id.

        Raises:
            ServiceError: 404, there is none.
        """
        if ID_PATTERN.fullmatch(run_id) is not None:
            with self._connection() as connection:
                row = connection.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is not None:
                return _entry(row)
        raise ServiceError(
            f"run '{run_id[:40]}' is not known here; GET /v1/runs lists those that are", status=404, code="unknown_run"
        )

    def entries(self, *states: RunState) -> list[RunEntry]:
        """All entries, or those in some states, by their place."""
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        with self._connection() as connection:
            rows = connection.execute(f"SELECT * FROM runs {where} ORDER BY place", states).fetchall()
        return [_entry(row) for row in rows]

    def change(self, run_id: str, *, only_in: tuple[RunState, ...] = (), **values: Any) -> RunEntry | None:
        """Give columns of an entry new values, if it is in one of some states.

        Args:
            run_id: which.
            only_in: the states; empty for any.
            values: by column. `place=None` puts it at the end.

        Returns:
            The entry as it is then; None where there is none in those states.
        """
        unknown = values.keys() - set(_COLUMNS)
        assert not unknown, unknown
        with self._transaction() as connection:
            if "place" in values and values["place"] is None:
                values["place"] = _next_place(connection)
            settings = ", ".join(f"{name} = :{name}" for name in values)
            where = "".join(f"{', ' if n else ''}:in{n}" for n in range(len(only_in)))
            condition = f" AND state IN ({where})" if only_in else ""
            row = connection.execute(
                f"UPDATE runs SET {settings} WHERE id = :run_id{condition} RETURNING *",
                {**values, "run_id": run_id, **{f"in{n}": state for n, state in enumerate(only_in)}},
            ).fetchone()
        return None if row is None else _entry(row)

    def claim_next(self) -> RunEntry | None:
        """Take the first queued entry and mark it running, once: no other caller is given it.

        Returns:
            The entry, counted as started; None where none is queued.
        """
        with self._transaction() as connection:
            row = connection.execute(
                "UPDATE runs SET state = 'running', attempts = attempts + 1, idle_attempts = idle_attempts + 1, "
                "started = COALESCE(started, ?), ended = NULL, exit_code = NULL, error = NULL, handle = NULL, "
                "pid = NULL, pid_started = NULL "
                "WHERE id = (SELECT id FROM runs WHERE state = 'queued' ORDER BY place LIMIT 1) RETURNING *",
                (now_text(),),
            ).fetchone()
        return None if row is None else _entry(row)

    def remove(self, run_id: str) -> None:
        """Forget an entry, if it is neither queued nor being trained."""
        with self._transaction() as connection:
            marks = ", ".join("?" * len(FINAL))
            connection.execute(f"DELETE FROM runs WHERE id = ? AND state IN ({marks})", (run_id, *FINAL))

    def add_model(self, origin: ModelOrigin) -> None:
        """Note where a model came from; what was noted of one of that name is forgotten."""
        names = [field.name for field in dataclasses.fields(ModelOrigin)]
        marks = ", ".join(f":{name}" for name in names)
        with self._transaction() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO models ({', '.join(names)}) VALUES ({marks})", dataclasses.asdict(origin)
            )

    def models(self) -> list[ModelOrigin]:
        """All models noted, oldest first."""
        with self._connection() as connection:
            rows = connection.execute("SELECT * FROM models ORDER BY created, name").fetchall()
        return [ModelOrigin(**dict(row)) for row in rows]

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of this call's own: none is shared between threads, or inherited by a forked process."""
        self._make()
        connection = self._connect()
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous=FULL")
            yield connection
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)

    def _make(self) -> None:
        """See once that the file and its tables are there."""
        with self._making:
            if self._is_made:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self._connect()) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(_SCHEMA)
            self._is_made = True

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _next_place(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT COALESCE(MAX(place), 0) + 1 FROM runs").fetchone()[0]


def _entry(row: sqlite3.Row) -> RunEntry:
    return RunEntry(**{name: row[name] for name in _COLUMNS})
