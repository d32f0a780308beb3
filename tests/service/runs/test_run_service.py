"""Runs are started in turn, end as they should, and are stopped, resumed and deleted; the trainer is a fake."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from audio_dcls.errors import ConfigError, RunError, ServiceError
from audio_dcls.service.runs.launcher import EngineAwayError, Launcher, LocalLauncher, Started, train_arguments
from audio_dcls.service.runs.queue import RunEntry
from audio_dcls.service.runs.run_service import RunService
from tests.service.runs.conftest import (
    FAKE_COMMAND,
    MakeService,
    fake_config,
    hold,
    processes_of,
    wait_for_state,
    wait_until,
    wait_until_measured,
)


def code_of(error: pytest.ExceptionInfo[ServiceError]) -> tuple[int, str]:
    return error.value.status, error.value.code


def test_a_run_goes_through_the_queue(service: RunService, state_dir: Path) -> None:
    view = service.submit(fake_config(seeds=(0, 1)), name="mine", owner="ada")
    assert (view.name, view.kind, view.owner, view.state, view.engine) == ("mine", "train", "ada", "queued", "local")
    assert view.folder == str(state_dir / "runs" / view.id) and view.ended is None
    view = wait_for_state(service, view.id, "done")
    assert (view.attempts, view.progress, view.error, view.time_left_s) == (1, 1.0, None, None)
    assert [(s.seed, s.state, s.step, s.num_steps, s.mAP) for s in view.seeds] == [
        (0, "done", 3, 3, 0.5),
        (1, "done", 3, 3, 0.5),
    ]
    assert view.mAP is not None and (view.mAP.mean, view.mAP.num_seeds) == (0.5, 2)
    assert view.started is not None and view.ended is not None
    assert service.log_text(view.id, 1) == "step 3\n" and service.log_text(view.id).startswith("── start 1,")
    assert yaml.safe_load(service.config_text(view.id))["name"] == "mine"
    assert service.config_text(view.id).startswith("# submitted: {")
    wait_until_measured(service, view.id)
    assert service.get(view.id).has_per_class
    classes = service.per_class(view.id).classes
    assert [(c.id, c.seeds, c.num_clips) for c in classes] == [
        ("/t/low", {"0": 0.5, "1": 0.5}, 3),
        ("/t/no", {"0": None, "1": None}, 0),
    ]
    assert [series.train.step for series in service.metrics(view.id).series] == [[1, 2, 3], [1, 2, 3]]


class NotingLauncher(LocalLauncher):
    """Records the runs that it started; polling from outside may miss a run."""

    def __init__(self) -> None:
        super().__init__(command=FAKE_COMMAND)
        self.started: list[str] = []

    def start(self, entry: RunEntry) -> Started:
        self.started.append(entry.id)
        return super().start(entry)


def test_one_runs_at_a_time_first_come_first_served(make_service: MakeService) -> None:
    launcher = NotingLauncher()
    service = make_service(launchers={"local": launcher})
    service.start()
    ids = [service.submit(fake_config(2, 0.1)).id for _ in range(3)]
    assert [run.id for run in service.list_runs()] == ids[::-1]
    views = service.list_runs()[::-1]
    while any(view.state != "done" for view in views):
        running = [view.id for view in views if view.state == "running"]
        assert len(running) <= 1
        waiting = [view.position for view in views if view.state == "queued"]
        assert waiting == list(range(1, len(waiting) + 1))
        time.sleep(0.02)
        views = service.list_runs()[::-1]
    assert launcher.started == ids


def test_a_running_run_stops_with_its_work_saved_and_goes_on(service: RunService) -> None:
    run = service.submit(fake_config(30, 0.05))
    hold(run, 3)
    wait_until(lambda: service.get(run.id).seeds[0].step >= 3)
    assert service.get(run.id).time_left_s is not None
    assert service.stop(run.id).state == "stopping"
    assert service.stop(run.id).state in ("stopping", "stopped")
    view = wait_for_state(service, run.id, "stopped")
    assert view.seeds[0].state == "stopped" and 3 <= view.seeds[0].step < 30
    assert service.stop(run.id).state == "stopped"
    hold(run, None)
    assert service.resume(run.id).state in ("queued", "running")
    view = wait_for_state(service, run.id, "done")
    assert view.attempts == 2 and view.seeds[0].step == 30
    assert service.metrics(run.id).series[0].train.step == list(range(1, 31))
    for change in (service.stop, service.resume):
        with pytest.raises(ServiceError) as caught:
            change(run.id)
        assert code_of(caught) == (409, "run_is_over")


def test_a_queued_run_stops_at_once(make_service: MakeService) -> None:
    service = make_service()
    run = service.submit(fake_config())
    assert (run.state, run.position) == ("queued", 1)
    view = service.stop(run.id)
    assert (view.state, view.position, view.attempts) == ("stopped", None, 0)
    assert service.resume(run.id).state == "queued"
    service.start()
    wait_for_state(service, run.id, "done")


def test_one_that_does_not_stop_is_killed(make_service: MakeService) -> None:
    service = make_service(kill_after_s=0.3)
    service.start()
    run = service.submit(fake_config(1, 60))
    wait_for_state(service, run.id, "running")
    wait_until(lambda: Path(f"{run.folder}/seed-0").is_dir())
    service.stop(run.id)
    assert wait_for_state(service, run.id, "stopped").seeds[0].state == "waiting"


def test_an_error_is_reported_in_the_commands_own_words(make_service: MakeService) -> None:
    service = make_service()
    run = service.submit(fake_config())
    Path(f"{run.folder}.do").write_text("fail")
    service.start()
    view = wait_for_state(service, run.id, "failed")
    assert view.error == "`loop.epochs` (=1) is wrong; fix it" and view.attempts == 1
    Path(f"{run.folder}.do").unlink()
    assert service.resume(run.id).error is None
    assert wait_for_state(service, run.id, "done").error is None


def test_a_crash_is_reported_by_the_last_line_of_its_trace(make_service: MakeService) -> None:
    service = make_service()
    run = service.submit(fake_config())
    Path(f"{run.folder}.do").write_text("crash")
    service.start()
    assert wait_for_state(service, run.id, "failed").error == "ZeroDivisionError: half a step"


def test_one_that_is_killed_again_and_again_is_given_up(make_service: MakeService) -> None:
    service = make_service(max_attempts=3)
    run = service.submit(fake_config())
    Path(f"{run.folder}.do").write_text("die")
    service.start()
    view = wait_for_state(service, run.id, "failed")
    assert view.attempts == 3 and view.error is not None and "SIGKILL, 3 times" in view.error


def test_one_that_is_killed_goes_on_as_long_as_it_makes_steps(service: RunService, state_dir: Path) -> None:
    run = service.submit(fake_config(12, 0.03))
    for attempt in range(1, 5):
        hold(run, 2 * attempt)
        wait_until(lambda: service.get(run.id).attempts == attempt)  # noqa: B023
        wait_until(lambda: service.get(run.id).seeds[0].step == 2 * attempt)  # noqa: B023
        [process] = processes_of(state_dir)
        process.kill()
    hold(run, None)
    assert wait_for_state(service, run.id, "done").attempts == 5


def test_deleting_leaves_nothing_and_touches_nothing_else(service: RunService, state_dir: Path) -> None:
    (state_dir / "other").mkdir()
    first, second = service.submit(fake_config()), service.submit(fake_config(1000, 0.05))
    wait_until(lambda: service.get(first.id).has_per_class)
    wait_for_state(service, second.id, "running")
    with pytest.raises(ServiceError) as caught:
        service.delete(second.id)
    assert code_of(caught) == (409, "run_is_running")
    service.delete(first.id)
    assert not [p for p in (state_dir / "runs").iterdir() if first.id in p.name]
    with pytest.raises(ServiceError) as caught:
        service.get(first.id)
    assert code_of(caught) == (404, "unknown_run")
    third = service.submit(fake_config())
    service.delete(third.id)
    service.stop(second.id)
    wait_for_state(service, second.id, "stopped")
    service.delete(second.id)
    assert service.list_runs() == [] and list((state_dir / "runs").iterdir()) == [] and (state_dir / "other").is_dir()


@pytest.mark.parametrize("run_id", ["..", "../../etc", "", "20260101-000000-000000", "queue.sqlite3"])
def test_no_id_is_a_path(service: RunService, run_id: str) -> None:
    for call in (service.get, service.delete, service.stop, service.resume, service.config_text, service.log_text,
                 service.metrics, service.per_class, service.events):  # fmt: skip
        with pytest.raises(ServiceError) as caught:
            call(run_id)
        assert caught.value.status == 404


def test_a_wrong_config_is_not_queued(service: RunService, state_dir: Path) -> None:
    with pytest.raises(ConfigError):
        service.submit({"data": {"manifests": ["/etc/passwd"]}})
    assert service.list_runs() == [] and list((state_dir / "runs").iterdir()) == []


def test_a_state_folder_has_one_service(make_service: MakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audio_dcls.service.runs.run_service.LOCK_WAIT_S", 0.2)
    first, second = make_service(), make_service()
    first.start()
    with pytest.raises(RunError, match="another running service"):
        second.start()
    first.close()
    second.start()
    assert second.is_alive and not first.is_alive


def test_an_orderly_end_saves_the_runs_and_the_next_start_goes_on(make_service: MakeService, state_dir: Path) -> None:
    first = make_service()
    first.start()
    run = first.submit(fake_config(30, 0.05))
    hold(run, 3)
    wait_until(lambda: first.get(run.id).seeds[0].step >= 3)
    first.close(grace_s=60)
    view = first.get(run.id)
    assert view.state == "queued" and view.seeds[0].state == "stopped" and not processes_of(state_dir)
    hold(run, None)
    second = make_service()
    second.start()
    assert wait_for_state(second, run.id, "done").seeds[0].step == 30


def test_runs_may_be_left_alone_at_the_end(make_service: MakeService, state_dir: Path) -> None:
    first = make_service()
    first.start()
    run = first.submit(fake_config(30, 0.05))
    hold(run, 2)
    wait_until(lambda: first.get(run.id).seeds[0].step >= 2)
    first.close(leave=True)
    [process] = processes_of(state_dir)
    second = make_service()
    second.start()
    assert second.get(run.id).state == "running" and processes_of(state_dir) == [process]
    hold(run, None)
    view = wait_for_state(second, run.id, "done")
    assert view.attempts == 1


def test_a_study_is_resumed_from_its_plan(make_service: MakeService) -> None:
    service = make_service()
    run = service.submit("demo_study.yaml", seeds=[0, 1])
    assert run.kind == "study" and len(run.seeds) == 12 and run.mAP is None
    assert [s.case for s in run.seeds[:2]] == ["fastvit", "fastvit-dcls"]
    assert Path(run.folder, "study.yaml").is_file()
    entry = service.queue.get(run.id)
    assert train_arguments(entry) == ["study", "run", "--resume", run.folder, "--yes"]


class AwayLauncher(LocalLauncher):
    """An engine that cannot be reached while `is_away`."""

    is_away = True

    def find(self, entry: RunEntry) -> Started | None:
        if self.is_away:
            raise EngineAwayError("nobody answers")
        return super().find(entry)

    def is_alive(self, entry: RunEntry) -> bool:
        if self.is_away:
            raise EngineAwayError("nobody answers")
        return super().is_alive(entry)


def test_an_engine_that_is_away_is_waited_for(make_service: MakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audio_dcls.service.runs.supervisor.AWAY_S", 0.05)
    launcher = AwayLauncher(command=FAKE_COMMAND)
    service = make_service(launchers={"local": launcher}, max_attempts=2)
    ids = [service.submit(fake_config(40, 0.05)).id for _ in range(2)]
    service.start()
    wait_until(lambda: service.get(ids[0]).error)
    time.sleep(0.5)
    # With every new attempt the first run is running for an instant.
    wait_until(lambda: [(service.get(i).state, service.get(i).attempts) for i in ids] == [("queued", 0)] * 2)
    launcher.is_away = False
    wait_until(lambda: service.get(ids[0]).seeds[0].step)
    launcher.is_away = True
    time.sleep(0.3)
    assert service.get(ids[0]).state == "running" and service.get(ids[0]).error is None
    launcher.is_away = False
    for run_id in ids:
        assert wait_for_state(service, run_id, "done").attempts == 1


def test_the_local_launcher_is_one(service: RunService) -> None:
    launcher: Launcher = LocalLauncher(command=FAKE_COMMAND)
    run = service.submit(fake_config())
    wait_for_state(service, run.id, "done")
    entry = service.queue.get(run.id)
    assert launcher.find(entry) is None and not launcher.is_alive(entry) and launcher.exit_code(entry) is None
