"""Each change of a run is sent once, across lost connections and resumed runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from audio_dcls.errors import ServiceError
from audio_dcls.service.runs.event_stream import RunEvent, RunEvents
from audio_dcls.service.runs.progress import describe_run
from audio_dcls.service.runs.queue import RunEntry
from audio_dcls.service.runs.run_service import RunService
from audio_dcls.service.runs.schemas import RunView
from tests.service.runs.conftest import fake_config, wait_for_state


class Run:
    """A run whose files the test writes."""

    def __init__(self, folder: Path) -> None:
        (folder / "run.yaml").write_text("seeds: [0, 1]\nloop: {epochs: 4}\n")
        (folder / "run/seed-0").mkdir(parents=True)
        self.log, self.metrics = folder / "run.log", folder / "run/seed-0/metrics.jsonl"
        self.entry = RunEntry(
            "20260101-000000-abcdef", 1, "run", "train", "running", "run", None, str(folder / "run.yaml"),
            str(folder / "run"), "local", created="2026-01-01T00:00:00+00:00",
        )  # fmt: skip
        self.is_over, self.is_deleted = False, False

    def look(self, run_id: str) -> tuple[RunView, bool]:
        if self.is_deleted:
            raise ServiceError("gone", status=404, code="unknown_run")
        return describe_run(self.entry), self.is_over

    def events(self, **keywords: Any) -> RunEvents:
        return RunEvents(self.entry, self.look, poll_s=0.01, **keywords)

    def write(self, *steps: int, end: str = "\n") -> None:
        with self.metrics.open("a") as file:
            file.write("".join(json.dumps({"step": step, "loss": 0.5}) + end for step in steps))

    def rewind(self, *steps: int) -> None:
        part = self.metrics.with_suffix(".part")
        part.write_text("".join(json.dumps({"step": step, "loss": 0.5}) + "\n" for step in steps))
        part.replace(self.metrics)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def steps(events: list[RunEvent]) -> list[int]:
    return [event.data["line"]["step"] for event in events if event.name == "metrics"]


def names(events: list[RunEvent]) -> list[str]:
    return [event.name for event in events]


def test_each_change_is_sent_once(run: Run) -> None:
    listener = run.events()
    events, is_over = listener.poll()
    assert names(events) == ["run"] and not is_over and events[0].data["id"] == run.entry.id
    assert listener.poll() == ([], False)
    run.write(1, 2)
    run.log.write_text("hello\nworld\nhalf")
    events, _ = listener.poll()
    assert names(events) == ["metrics", "metrics", "log"] and steps(events) == [1, 2]
    assert events[0].data == {"seed": 0, "case": None, "line": {"step": 1, "loss": 0.5}}
    assert events[2].data == {"lines": ["hello", "world"]}
    with run.log.open("a") as file:
        file.write(" a line\n")
    assert listener.poll()[0][0].data == {"lines": ["half a line"]}
    run.is_over = True
    events, is_over = listener.poll()
    assert names(events) == ["end"] and is_over and events[0].data == {"state": "running"}


def test_a_torn_line_is_sent_once_it_is_complete(run: Run) -> None:
    listener = run.events()
    run.write(1, end="")
    assert steps(listener.poll()[0]) == []
    run.write(end="")
    with run.metrics.open("a") as file:
        file.write("\n")
    assert steps(listener.poll()[0]) == [1]


def test_a_lost_connection_continues_where_it_was(run: Run) -> None:
    run.write(1, 2, 2, 3)
    run.log.write_text("a\nb\n")
    events, _ = run.events().poll()
    assert steps(events) == [1, 2, 2, 3]
    for number, event in enumerate(events):
        rest, _ = run.events(last_event_id=event.id).poll()
        assert steps(rest) == steps(events[number + 1 :]), event.id
        assert ("log" in names(rest)) == (event.name != "log")
    run.write(3, 4)
    assert steps(run.events(last_event_id=events[-1].id).poll()[0]) == [3, 4]


@pytest.mark.parametrize(
    "text", ["", "x", "log:", "log:-1", "log:٣", "1:2", "log:" + "9" * 50, "\0", "log:0,7:1.1,0:x.y,,"]
)
def test_an_invalid_id_starts_from_the_beginning(run: Run, text: str) -> None:
    run.write(1)
    run.log.write_text("a\n")
    assert names(run.events(last_event_id=text).poll()[0]) == ["run", "metrics", "log"]


def test_steps_that_a_resumed_run_repeats_are_not_sent_again(run: Run) -> None:
    listener = run.events()
    run.write(1, 2, 3, 4)
    events, _ = listener.poll()
    run.rewind(1, 2)
    assert steps(listener.poll()[0]) == []
    run.write(3, 4, 5)
    assert steps(listener.poll()[0]) == [5]
    assert steps(run.events(last_event_id=events[-1].id).poll()[0]) == [5]


def test_only_the_last_lines_are_replayed_if_a_number_is_given(run: Run) -> None:
    run.write(*range(1, 101))
    listener = run.events(replay=3)
    assert steps(listener.poll()[0]) == [98, 99, 100]
    run.write(*range(101, 111))
    assert steps(listener.poll()[0]) == list(range(101, 111))
    assert steps(run.events(replay=0).poll()[0]) == []


def test_a_long_log_begins_near_its_end_at_a_whole_line(run: Run) -> None:
    run.log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    [event] = [event for event in run.events().poll()[0] if event.name == "log"]
    assert len(event.data["lines"]) < 3000 and event.data["lines"][-1] == "line 99999"
    assert all(line.startswith("line ") for line in event.data["lines"])


def test_a_deleted_run_ends_the_stream(run: Run) -> None:
    async def collect(stream: AsyncIterator[RunEvent]) -> list[RunEvent]:
        found = []
        async for event in stream:
            found.append(event)
            run.is_deleted = True
        return found

    events = asyncio.run(asyncio.wait_for(collect(run.events().stream()), 60))
    assert names(events) == ["run", "end"] and events[-1].data == {"state": "deleted"}


def test_the_stream_of_a_run_from_queue_to_end(service: RunService) -> None:
    run = service.submit(fake_config(5, 0.05, seeds=(0, 1)))

    async def collect() -> list[RunEvent]:
        return [event async for event in service.events(run.id)]

    events = asyncio.run(asyncio.wait_for(collect(), 120))
    assert names(events)[-1] == "end" and events[-1].data == {"state": "done"}
    for seed in (0, 1):  # one poll reads the files of the seeds in turn, while they are written
        assert steps([e for e in events if e.name != "metrics" or e.data["seed"] == seed]) == [1, 2, 3, 4, 5]
    states = [event.data["state"] for event in events if event.name == "run"]
    assert states == sorted(states, key=["queued", "running", "done"].index) and states[-1] == "done"
    logged = [line for event in events if event.name == "log" for line in event.data["lines"]]
    assert [line for line in logged if line.startswith("step")] == [f"step {n}" for n in (1, 2, 3, 4, 5)] * 2
    last = [event for event in events if event.name == "run"][-1]
    assert last.data["has_per_class"] and wait_for_state(service, run.id, "done").has_per_class
