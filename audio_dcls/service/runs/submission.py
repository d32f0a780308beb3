"""Write the files of a new run and put it into the queue."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audio_dcls.files import write_atomically
from audio_dcls.service.runs.queue import RunEntry, RunQueue, new_id, now_text
from audio_dcls.service.runs.run_config import BuiltRun
from audio_dcls.training.studies.case_study import CaseStudyDir
from audio_dcls.training.studies.study_config import StudyPlan


def enqueue(
    queue: RunQueue, runs_dir: Path, built: BuiltRun, request: Mapping[str, Any], *, engine: str, owner: str | None
) -> RunEntry:
    """Give a run an unused id, write its files, and put it into the queue.

    Args:
        queue: the queue.
        runs_dir: holds the folders, logs and configs of runs.
        built: the run's config.
        request: the client's request; a comment in the config's file keeps it.
        engine: the engine that will train the run.
        owner: the name of the client's key.
    """
    while True:
        run_id = new_id()
        folder, path = runs_dir / run_id, runs_dir / f"{run_id}.yaml"
        if path.exists() or folder.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        submitted = json.dumps(request, ensure_ascii=True)
        write_atomically(path, f"# submitted: {submitted}\n{built.to_yaml()}".encode())
        if isinstance(built.config, StudyPlan):
            CaseStudyDir(folder).create(built.config)
        entry = RunEntry(
            id=run_id,
            place=0,
            name=built.name,
            kind=built.kind,
            state="queued",
            wanted="run",
            owner=owner,
            config_path=str(path),
            folder=str(folder),
            engine=engine,
            created=now_text(),
        )
        with contextlib.suppress(sqlite3.IntegrityError):
            return queue.add(entry)
