"""What `audio-dcls inspect` looks at: a model, its run, and clips, brought together."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audio_dcls.errors import AudioDclsError, NothingToShowError, RunError
from audio_dcls.inspection.evaluated import Against, Evaluated
from audio_dcls.inspection.report.subject import Subject, build_subject
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint, load_checkpoint
from audio_dcls.models.checkpoint.folders import PLAN_FILE
from audio_dcls.models.find_model import find_model
from audio_dcls.runs.find_run import expand_cases, find_runs
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.study_dir import StudyDir

if TYPE_CHECKING:
    from audio_dcls.data.loading.samples import ClipDataset
    from audio_dcls.evaluation import Predictions

Progress = Callable[[int], None]


def find_subject(
    path: str,
    *,
    against: str | None,
    clips: Sequence[str],
    num_clips: int,
    measures: bool,
    on_progress: Progress | None = None,
) -> Subject:
    """A model with all that is known of it.

    Args:
        path: of a study, run or checkpoint, or a name of published weights. Of a study of several cases it is the first
            with DCLS, against its twin without.
        against: a study or run to compare with.
        clips: sounds to look at the model with; clips that its run is measured on by default.
        num_clips: of them.
        measures: measure the run on its own clips.
        on_progress: called with the number of clips measured since the last call.
    """
    if (Path(path) / PLAN_FILE).is_file():
        path, twin = _case_and_twin(Path(path))
        against = against or twin
    model_path = find_model(path)
    loaded = load_checkpoint(model_path)
    run = _run_of(model_path)
    subject = build_subject(loaded, None if run is None else run.path)
    if run is not None and measures:
        try:
            subject.measured = _measure(run, loaded, on_progress)
        except AudioDclsError as error:
            subject.why_unmeasured = f"the run's clips cannot be measured: {error}"
    _give_clips(subject, clips, num_clips)
    if against is not None:
        subject.against = _compare(path, against, loaded, on_progress)
    return subject


def _case_and_twin(folder: Path) -> tuple[str, str | None]:
    """The first trained case with DCLS, and the trained one that it is compared with, or has the same backbone."""
    cases = {case: StudyDir(case).config() for case in expand_cases(folder)}
    with_dcls = [case for case, config in cases.items() if config.model.dcls is not None]
    chosen = with_dcls[0] if with_dcls else next(iter(cases))
    model = cases[chosen].model
    twins = [
        case
        for case, config in cases.items()
        if case != chosen
        and config.model.dcls is None
        and (config.model.name, config.model.overrides) == (model.name, model.overrides)
    ]
    return str(chosen), str(twins[0]) if twins else None


def _run_of(model_path: Path) -> RunDir | None:
    """The run that a checkpoint lies in."""
    for folder in model_path.resolve().parents[:3]:
        if folder.name.startswith("seed-") and (folder.parent / "config.yaml").is_file():
            return RunDir(folder)
    return None


def _measure(run: RunDir, loaded: LoadedCheckpoint, on_progress: Progress | None) -> Evaluated:
    """The run's newest checkpoint on its own clips."""
    from audio_dcls.data.table.label_matrix import class_counts
    from audio_dcls.runs.measure import measure_study
    from audio_dcls.runs.training_clips import load_manifests, select_splits

    study = StudyDir(run.path.parent)
    found: list[tuple[Predictions, ClipDataset]] = []

    def keep(_: RunDir, predictions: Predictions, dataset: ClipDataset) -> None:
        found.append((predictions, dataset))

    demo = study.config().data.demo_folder
    if demo is not None and not Path(demo).is_dir():
        raise RunError(f"the corpus '{demo}' is not here; go to the folder that has it, or name sounds by --clips")
    measure_study(study, [run], on_progress=on_progress, on_predictions=keep)
    ((predictions, dataset),) = found
    config = study.config()
    rows = load_manifests(config.data)
    names = config.data.split_names(rows.splits(), rows.source)
    clips = dataset.clips.take(predictions.indices)

    def waveform(place: int) -> np.ndarray:
        sample = dataset[(0, int(predictions.indices[place]))]
        if "failure" in sample:
            raise NothingToShowError(sample["failure"].message)
        return sample["waveform"].numpy()

    return Evaluated(
        labels=loaded.labels,
        clip_ids=tuple(clips.ids.to_list()),
        targets=predictions.targets,
        scores=predictions.scores,
        source=f"{len(clips)} clips of split {'+'.join(names.eval)}",
        sample_rate_hz=loaded.frontend.sample_rate_hz,
        waveform=waveform,
        train_counts=class_counts(select_splits(rows.table, names.train), len(loaded.labels)),
    )


def _give_clips(subject: Subject, clips: Sequence[str], num_clips: int) -> None:
    """Sounds that were named, or else measured clips at equal steps through the list."""
    import torch

    if clips:
        from audio_dcls.inference.sound_inputs import find_sounds
        from audio_dcls.inspection.example_clips import first_clips
        from audio_dcls_cli.screen.progress import warn

        sounds = find_sounds(clips, subject.labels)
        subject.waveforms, subject.clip_names = first_clips(sounds, num_clips, subject.frontend, warn)
    elif subject.measured is not None:
        measured = subject.measured
        most = min(num_clips, len(measured.clip_ids))
        places = np.linspace(0, len(measured.clip_ids) - 1, most).round().astype(int)
        subject.waveforms = torch.from_numpy(np.stack([measured.waveform(int(place)) for place in places]))
        subject.clip_names = tuple(measured.clip_ids[int(place)] for place in places)


def _compare(path: str, against: str, loaded: LoadedCheckpoint, on_progress: Progress | None) -> Against:
    """Average precision by class and seed of two studies or runs, as last measured, or measured now."""
    if Path(against).resolve() == Path(path).resolve():
        raise RunError(f"'{against}' would be compared with itself; name another run or study by --against")
    other_path = find_model(against)
    other = load_checkpoint(other_path)
    if other.labels.ids != loaded.labels.ids:
        raise RunError(f"'{against}' has other classes than '{path}', so they cannot be compared; name one of the same")
    ours, num_positives = _precision(path, on_progress)
    theirs, others = _precision(against, on_progress)
    if not np.array_equal(num_positives, others):
        raise RunError(
            f"'{path}' and '{against}' were measured on different clips, so their scores cannot be compared; measure "
            "both on the same by: audio-dcls eval --manifest MANIFEST"
        )
    name, other_name = _names(path, against)
    return Against(loaded.labels, name, other_name, ours, theirs, num_positives, other.model.eval())


def _names(path: str, against: str) -> tuple[str, str]:
    """Two short names that differ."""
    ours, theirs = Path(path).resolve(), Path(against).resolve()
    if ours.name != theirs.name:
        return ours.name, theirs.name
    return f"{ours.parent.name}/{ours.name}", f"{theirs.parent.name}/{theirs.name}"


def _precision(path: str, on_progress: Progress | None) -> tuple[dict[int, np.ndarray], np.ndarray]:
    from audio_dcls.runs.measure import measure_study

    study, runs = find_runs(path)
    trained = [run for run in runs if run.checkpoints()]
    if not trained:
        raise RunError(f"'{path}' has no trained run to compare; name another")
    missing = [run for run in trained if not (run.eval_folder / "per_class.csv").is_file()]
    if missing:
        measure_study(study, missing, on_progress=on_progress)
    precision: dict[int, np.ndarray] = {}
    num_positives = np.zeros(0)
    for run in trained:
        with (run.eval_folder / "per_class.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        precision[run.seed] = np.array([float(row["average_precision"] or "nan") for row in rows])
        num_positives = np.array([int(row["num_positives"]) for row in rows])
    return precision, num_positives
