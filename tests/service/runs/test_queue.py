"""The queue keeps every entry exactly once, also with many writers and after kills."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from audio_dcls.errors import ServiceError
from audio_dcls.service.runs.queue import ID_PATTERN, ModelOrigin, RunEntry, RunQueue, new_id, now_text

ADD_FOREVER = """
import sys
from pathlib import Path
from audio_dcls.service.runs.queue import RunEntry, RunQueue, new_id, now_text
queue = RunQueue(Path(sys.argv[1]))
for number in range(100_000):
    entry = RunEntry(new_id(), 0, "n", "train", "queued", "run", None, "c", "f", "local", created=now_text())
    sys.stdout.write(f"try {entry.id}\\n")
    queue.add(entry)
    sys.stdout.write(f"added {entry.id}\\n")
    sys.stdout.flush()
"""


def entry(**values: Any) -> RunEntry:
    known: dict[str, Any] = {
        "id": new_id(), "place": 0, "name": "demo", "kind": "train", "state": "queued", "wanted": "run", "owner": None,
        "config_path": "c.yaml", "folder": "f", "engine": "local", "created": now_text(),
    }  # fmt: skip
    return RunEntry(**{**known, **values})


@pytest.fixture
def queue(tmp_path: Path) -> RunQueue:
    return RunQueue(tmp_path / "queue.sqlite3")


def test_entries_are_claimed_in_their_order_once(queue: RunQueue) -> None:
    added = [queue.add(entry(name=f"run{n}")) for n in range(3)]
    assert [e.place for e in added] == [1, 2, 3]
    claimed = [queue.claim_next() for _ in range(4)]
    assert [e and e.id for e in claimed] == [*(e.id for e in added), None]
    first = claimed[0]
    assert first is not None and (first.state, first.attempts, first.idle_attempts) == ("running", 1, 1)


def test_a_requeued_entry_keeps_its_place_or_goes_to_the_end(queue: RunQueue) -> None:
    first, second = queue.add(entry()), queue.add(entry())
    assert queue.claim_next() == queue.get(first.id)
    queue.change(first.id, state="queued")
    claimed = queue.claim_next()
    assert claimed is not None and claimed.id == first.id and claimed.attempts == 2
    queue.change(first.id, state="queued", place=None)
    claimed = queue.claim_next()
    assert claimed is not None and claimed.id == second.id


def test_a_change_is_made_only_in_the_states_named(queue: RunQueue) -> None:
    run = queue.add(entry())
    assert queue.change(run.id, only_in=("running",), state="stopping") is None
    assert queue.get(run.id).state == "queued"
    changed = queue.change(run.id, only_in=("queued", "running"), state="stopped", wanted="stop")
    assert changed is not None and (changed.state, changed.wanted) == ("stopped", "stop")


def test_an_entry_in_the_queue_is_not_removed(queue: RunQueue) -> None:
    run = queue.add(entry())
    queue.remove(run.id)
    assert queue.get(run.id) == run
    queue.change(run.id, state="stopped")
    queue.remove(run.id)
    with pytest.raises(ServiceError, match="does not exist") as caught:
        queue.get(run.id)
    assert (caught.value.status, caught.value.code) == (404, "unknown_run")


@pytest.mark.parametrize("run_id", ["", "..", "../queue", "20260101-000000-ABCDEF", "20260101-000000-abcdef\n", "%2e"])
def test_what_is_no_id_is_unknown(queue: RunQueue, run_id: str) -> None:
    with pytest.raises(ServiceError) as caught:
        queue.get(run_id)
    assert caught.value.status == 404


def test_ids_have_their_form_and_are_taken_once(queue: RunQueue) -> None:
    run = queue.add(entry())
    assert ID_PATTERN.fullmatch(run.id)
    with pytest.raises(sqlite3.IntegrityError):
        queue.add(run)


def test_threads_share_the_entries_out(queue: RunQueue) -> None:
    taken: list[str] = []

    def work(number: int) -> None:
        own = RunQueue(queue.path) if number % 2 else queue
        for _ in range(5):
            own.add(entry())
        for _ in range(5):
            claimed = own.claim_next()
            assert claimed is not None
            taken.append(claimed.id)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = queue.entries()
    assert len(taken) == len(set(taken)) == len(entries) == 40
    assert sorted(e.place for e in entries) == list(range(1, 41))
    assert {e.attempts for e in entries} == {1}


def test_a_killed_process_loses_and_doubles_nothing(queue: RunQueue) -> None:
    command = [sys.executable, "-c", ADD_FOREVER, str(queue.path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    deadline_s = time.monotonic() + 60
    while len(queue.entries()) < 20 and time.monotonic() < deadline_s:
        time.sleep(0.02)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    said = [line for process in processes for line in process.communicate()[0].splitlines()]
    added = {line.split()[1] for line in said if line.startswith("added ") and line.count("-") == 2}
    ids = [e.id for e in queue.entries()]
    assert len(ids) == len(set(ids)) >= 20
    assert {i for i in added if ID_PATTERN.fullmatch(i)} <= set(ids)
    assert len(ids) <= len(added) + len(processes)  # each process may have committed one entry without printing it
    assert queue.claim_next() is not None


def test_origins_of_models_are_kept(queue: RunQueue) -> None:
    first = ModelOrigin("dogs", new_id(), 0, None, 12, 0, now_text())
    queue.add_model(first)
    assert queue.models() == [first]
    second = ModelOrigin("dogs", new_id(), 1, "dcls", 24, 1, now_text())
    queue.add_model(second)
    assert queue.models() == [second]


def test_nothing_is_written_before_it_is_needed(tmp_path: Path) -> None:
    RunQueue(tmp_path / "state/queue.sqlite3")
    assert list(tmp_path.iterdir()) == []


def test_many_may_make_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state/queue.sqlite3"
    threads = [threading.Thread(target=lambda: RunQueue(path).add(entry())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(RunQueue(path).entries()) == 8


def test_a_new_file_waits_for_another_process_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    added: list[RunEntry] = []
    thread = threading.Thread(target=lambda: added.append(RunQueue(path).add(entry())))
    thread.start()
    thread.join(timeout=0.3)
    assert thread.is_alive()
    other.execute("ROLLBACK")
    other.close()
    thread.join()
    assert RunQueue(path).entries() == added
