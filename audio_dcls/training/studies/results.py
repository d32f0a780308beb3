"""Build the table of a study from the results of its runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audio_dcls.errors import RunError
from audio_dcls.evaluation.study_table import CaseFacts, MissingRun, StudyTable, build_table
from audio_dcls.evaluation.table_text import to_csv, to_latex, to_markdown
from audio_dcls.files import write_atomically
from audio_dcls.labels import LabelSet
from audio_dcls.training.studies.case_study import CaseStudyDir
from audio_dcls.training.studies.costs import SpeedSettings, count_costs, measure_speed, speed_note
from audio_dcls.training.studies.study_config import StudyPlan

MACS_NOTE = (
    "MACs: multiplications of one clip's forward pass after the spectrogram, in the inference form, with DCLS kernels "
    "counted as dense."
)


def study_table(
    study: CaseStudyDir, speed: SpeedSettings | None = None, on_status: Callable[[str], object] = lambda text: None
) -> StudyTable:
    """The table of a study: scores of the runs that are done, costs of the models, and what is missing.

    Speed is measured on this machine if its settings are given. `on_status` is called with a short text about the
    current work. Raises `RunError` if the folder is not a study of cases, no run was started yet, or a status file is
    damaged.
    """
    plan = study.plan()
    if not study.labels_path.is_file():
        raise RunError(f"no run of study '{study.path}' was started yet; start with: {command_for(study)}")
    num_classes = len(LabelSet.from_csv(study.labels_path))
    costs = {}
    for name, case in plan.cases.items():
        on_status(f"counting {name}")
        costs[name] = count_costs(case.config, num_classes)
    speeds, machine = ({}, None) if speed is None else measure_speed(plan, num_classes, speed, on_status)
    found = {name: _scores(study, plan, name) for name in plan.cases}
    scores = {name: {seed: score for seed, (score, _) in found[name].items()} for name in plan.cases}
    hashes = {name: {s: clips for s, (_, clips) in found[name].items() if clips is not None} for name in plan.cases}
    cases = [
        CaseFacts(name, case.baseline, scores[name], *costs[name], speed=speeds.get(name), clip_hashes=hashes[name])
        for name, case in plan.cases.items()
    ]
    missing = [
        MissingRun(case, seed, study.state(case, seed), command_for(study, case, seed))
        for case, seed in plan.runs()
        if seed not in scores[case]
    ]
    notes = [MACS_NOTE, *([] if machine is None else [speed_note(machine)])]
    return build_table(plan.name, plan.seeds, cases, missing, machine, notes)


def command_for(study: CaseStudyDir, case: str | None = None, seed: int | None = None) -> str:
    """The command that trains one run, or all remaining runs of a study."""
    only = "" if case is None else f" --only case={case},seed={seed}"
    return f"audio-dcls study --resume {study.path}{only}"


def write_table(table: StudyTable, folder: Path) -> list[Path]:
    """Write table.md, table.csv, table.tex and table.json; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "table.md": to_markdown(table),
        "table.csv": to_csv(table),
        "table.tex": to_latex(table),
        "table.json": json.dumps(table.to_json_dict(), indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return [folder / name for name in texts]


def _scores(study: CaseStudyDir, plan: StudyPlan, case: str) -> dict[int, tuple[float, str | None]]:
    """mAP of the finished runs, and the hash of the evaluated clips, by seed."""
    scores = {}
    for seed in plan.seeds:
        run = study.run(case, seed)
        try:
            status: dict[str, Any] = run.status()
            if status.get("state") == "done":
                evaluation = status["last_evaluation"]
                scores[seed] = float(evaluation["mAP"]), evaluation.get("clip_id_hash")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = f"delete the folder of that run and train it again: {command_for(study, case, seed)}"
            raise RunError(f"'{run.status_path}' has no valid last mAP of the run; {remedy}") from error
    return scores
