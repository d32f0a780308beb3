"""Find what a report is about: a model, its run, clips to look at it with, and a run to compare it with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_dcls.data.sound.sound_stream import Sound, resampled_blocks
from audio_dcls.errors import AudioDclsError, AudioFileError, NothingToShowError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference.sound_inputs import find_sounds
from audio_dcls.inspection.comparison import compare_runs
from audio_dcls.inspection.measured_clips import measure_clips
from audio_dcls.inspection.report.subject import Subject, build_subject
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.checkpoint.folders import PLAN_FILE
from audio_dcls.models.find_model import find_model
from audio_dcls.runs.find_run import expand_cases, run_of_model
from audio_dcls.runs.study_dir import StudyDir


@dataclass(frozen=True)
class InspectionOptions:
    """The chapters of a report, and the clips and runs they use."""

    chapters: Sequence[str] = ()
    """Names of `CHAPTERS`; empty: all."""
    against: str | None = None
    """Study or run to compare with."""
    clips: Sequence[str] = ()
    """Sounds to look at the model with: files, folders, a manifest; empty: clips that its run is measured on."""
    num_clips: int = 16
    """Number of clips to look at the model with."""
    dpi: int = 200
    """Dots per inch of the PNG files."""


def find_subject(
    path: str,
    options: InspectionOptions,
    *,
    measures: bool,
    on_progress: Callable[[int], object],
    on_problem: Callable[[str], object],
) -> Subject:
    """A model with everything that is known about it; see `inspect_model`.

    Without named clips, the run's own clips are shown if it `measures` them.
    """
    twin = None
    if (Path(path) / PLAN_FILE).is_file():
        path, twin = _case_and_twin(Path(path))
    model_path = find_model(path)
    loaded = load_checkpoint(model_path)
    run = run_of_model(model_path)
    subject = build_subject(loaded, run)
    if run is not None and measures:
        try:
            subject.measured = measure_clips(run, loaded, on_progress)
        except AudioDclsError as error:
            subject.why_unmeasured = f"the run's clips cannot be measured: {error}"
    _add_clips(subject, options, on_problem)
    against = options.against or twin
    if against is not None:
        subject.comparison = compare_runs(path, against, loaded, on_progress)
    return subject


def _case_and_twin(folder: Path) -> tuple[str, str | None]:
    """The first trained case with DCLS, and a trained case with the same backbone and without DCLS, if there is one."""
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


def _add_clips(subject: Subject, options: InspectionOptions, on_problem: Callable[[str], object]) -> None:
    """Add the named sounds or, without them, measured clips at equal distances in their list."""
    if options.clips:
        sounds = find_sounds(options.clips, subject.labels)
        subject.waveforms, subject.clip_names = _first_clips(sounds, options.num_clips, subject.frontend, on_problem)
    elif subject.measured is not None:
        measured = subject.measured
        num_clips = min(options.num_clips, len(measured.clip_ids))
        places: list[int] = np.linspace(0, len(measured.clip_ids) - 1, num_clips).round().astype(int).tolist()
        subject.waveforms = torch.from_numpy(np.stack([measured.waveform(place) for place in places]))
        subject.clip_names = tuple(measured.clip_ids[place] for place in places)


def _first_clips(
    sounds: Iterable[Sound], most: int, frontend: FrontendConfig, on_problem: Callable[[str], object]
) -> tuple[Tensor, tuple[str, ...]]:
    """The beginnings (N, T) of the first sounds that can be read, at the model's rate and length, and their names."""
    clips: list[tuple[str, np.ndarray]] = []
    problems: list[str] = []
    for sound in sounds:
        if len(clips) == most:
            break
        try:
            clips.append((Path(sound.name).name, _beginning(sound, frontend)))
        except AudioFileError as error:
            problems.append(str(error))
    if not clips:
        reason = problems[0] if problems else "the list is empty"
        raise NothingToShowError(f"no sound can be read, so there is nothing to look at: {reason}")
    for problem in problems:
        on_problem(problem)
    return torch.from_numpy(np.stack([clip for _, clip in clips])), tuple(name for name, _ in clips)


def _beginning(sound: Sound, frontend: FrontendConfig) -> np.ndarray:
    clip = np.zeros(frontend.clip_samples, dtype=np.float32)
    filled = 0
    for block in resampled_blocks(sound, sample_rate_hz=frontend.sample_rate_hz):
        taken = block[: len(clip) - filled]
        clip[filled : filled + len(taken)] = taken
        filled += len(taken)
        if filled == len(clip):
            break
    return clip
