"""The queue of training runs: an SQLite file that many threads and processes may use at the same time.

Every change is one transaction, flushed to disk before the call returns. A process that is killed at any moment leaves
an entry in its old state or in its new state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import secrets
import sqlite3
import threading
import time
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
_BUSY_TIMEOUT_S = 30.0
"""The time that a change waits for a change by another process."""

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
    """One run in the queue; its folder holds its progress."""

    id: str
    place: int
    """Its place in the queue: the run with the lowest place is started first."""
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
    """The engine's name for the job."""
    pid: int | None = None
    pid_started: float | None = None
    """When that process was created, in seconds since 1970; it tells the process from a later one with its pid."""
    attempts: int = 0
    """The number of starts."""
    idle_attempts: int = 0
    """The number of starts since the last new step."""
    last_step: int = 0
    """The steps of all seeds together at the last start."""
    exit_code: int | None = None
    error: str | None = None
    is_measured: int = 0
    """1 once its scores per class are computed, or cannot be."""
    created: str = ""
    started: str | None = None
    """When it was first started."""
    ended: str | None = None


_COLUMNS = tuple(field.name for field in dataclasses.fields(RunEntry))


@dataclass(frozen=True)
class ModelOrigin:
    """The run and the step that a model of the service was made from."""

    name: str
    run_id: str
    seed: int
    case_name: str | None
    step: int
    is_best: int
    created: str


def now_text() -> str:
    """The current time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id() -> str:
    """A new id such as `20260131-235959-0a1b2c`, with the time in UTC."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


class RunQueue:
    """Entries in an SQLite file; the first call of a method creates the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._create_lock = threading.Lock()
        self._is_created = False

    def add(self, entry: RunEntry) -> RunEntry:
        """Put an entry at the end of the queue and set its `place`; raises sqlite3.IntegrityError for an id in use."""
        with self._transaction() as connection:
            entry = dataclasses.replace(entry, place=_next_place(connection))
            names = ", ".join(_COLUMNS)
            marks = ", ".join(f":{name}" for name in _COLUMNS)
            connection.execute(f"INSERT INTO runs ({names}) VALUES ({marks})", dataclasses.asdict(entry))
        return entry

    def get(self, run_id: str) -> RunEntry:
        """An entry by its id; raises ServiceError (404) if there is no such run."""
        if ID_PATTERN.fullmatch(run_id) is not None:
            with self._connection() as connection:
                row = connection.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is not None:
                return _entry(row)
        raise ServiceError(
            f"run '{run_id[:40]}' does not exist; GET /v1/runs lists the runs", status=404, code="unknown_run"
        )

    def entries(self, *states: RunState) -> list[RunEntry]:
        """The entries in some states, or all entries, ordered by place."""
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        with self._connection() as connection:
            rows = connection.execute(f"SELECT * FROM runs {where} ORDER BY place", states).fetchall()
        return [_entry(row) for row in rows]

    def change(self, run_id: str, *, only_in: tuple[RunState, ...] = (), **values: Any) -> RunEntry | None:
        """Change columns of an entry, and return it; None if no entry with the id is in one of the states `only_in`.

        An empty `only_in` allows any state; `place=None` puts the entry at the end.
        """
        assert values.keys() <= set(_COLUMNS), values
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
        """Mark the first queued entry as running and count the start; None if none is queued.

        Only one caller gets the entry.
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
        """Delete an entry that is neither queued nor being trained."""
        with self._transaction() as connection:
            marks = ", ".join("?" * len(FINAL))
            connection.execute(f"DELETE FROM runs WHERE id = ? AND state IN ({marks})", (run_id, *FINAL))

    def add_model(self, origin: ModelOrigin) -> None:
        """Record where a model came from; this replaces an earlier record for the same name."""
        names = [field.name for field in dataclasses.fields(ModelOrigin)]
        marks = ", ".join(f":{name}" for name in names)
        with self._transaction() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO models ({', '.join(names)}) VALUES ({marks})", dataclasses.asdict(origin)
            )

    def models(self) -> list[ModelOrigin]:
        """All recorded models, oldest first."""
        with self._connection() as connection:
            rows = connection.execute("SELECT * FROM models ORDER BY created, name").fetchall()
        return [ModelOrigin(**dict(row)) for row in rows]

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A new connection, because threads and forked processes must not share one."""
        self._create()
        connection = self._connect()
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous=FULL")
            yield connection
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)

    def _create(self) -> None:
        """Create the file and its tables, once per object."""
        with self._create_lock:
            if self._is_created:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self._connect()) as connection:
                _use_write_ahead_log(connection)
                connection.executescript(_SCHEMA)
            self._is_created = True

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


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Set the journal mode, and wait for other connections: SQLite applies its own timeout to every other statement."""
    end = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _next_place(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT COALESCE(MAX(place), 0) + 1 FROM runs").fetchone()[0]


def _entry(row: sqlite3.Row) -> RunEntry:
    return RunEntry(**{name: row[name] for name in _COLUMNS})
