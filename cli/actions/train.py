"""`audio-dcls train`: train a config over its seeds, or print its plan."""

from __future__ import annotations

import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import typer

from audio_dcls.errors import ConfigError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.resumable_keys import changed_keys, override_resumable_keys
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import TrainingClips, load_manifests, prepare_clips
from audio_dcls.settings import build, load_yaml, merge, parse_overrides
from audio_dcls.training.distributed.failure import failing_together
from audio_dcls.training.distributed.processes import build_fabric, one_after_the_first
from audio_dcls.training.dry_run import plan_run
from audio_dcls.training.initial_model import check_buildable
from audio_dcls.training.interruption import STOPPED_EXIT_CODE, StopRequest
from audio_dcls.training.studies.study import default_study_folder, train_study, unfinished_study
from audio_dcls_cli.screen.progress import clip_progress, err, quieten, say, show_coverage, show_events
from audio_dcls_cli.screen.tables import plan_table

DEMO_CONFIG = "configs/demo.yaml"
MAX_KEYS_NAMED = 4


def train(
    *,
    config: str | None,
    seed: list[int] | None,
    out: Path | None,
    set_: list[str] | None,
    resume: Path | None,
    yes: bool,
    dry_run: bool,
) -> None:
    """Train every seed of a config, one after another, into one study folder."""
    if resume is not None:
        given = [n for n, v in (("CONFIG", config), ("--out", out), ("--seed", seed)) if v]
        if given:
            raise ConfigError(f"--resume takes its config from '{resume}': leave out {', '.join(given)}")
        study = StudyDir(resume)
        settings = override_resumable_keys(study.config(), set_ or [])
        _name_empty_bands(settings)
        if dry_run:
            return _show_plan(settings)
        say(f"Resuming [bold]{study.path}[/].")
    else:
        if config is None:
            say(f"No config given: training the demo ([bold]{DEMO_CONFIG}[/]) on a synthesised corpus.")
        settings = _settings(config or DEMO_CONFIG, set_ or [], seed or [])
        check_buildable(settings)
        _name_empty_bands(settings)
        if dry_run:
            return _show_plan(settings)
        study = _choose_study(settings, out, yes=yes)
    if not _run(settings, study):
        raise typer.Exit(STOPPED_EXIT_CODE)


def _name_empty_bands(settings: TrainConfig) -> None:
    frontend = settings.frontend
    if frontend.num_empty_mels:
        say(
            f"{frontend.num_empty_mels} of {frontend.num_mels} mel bands are always empty: no frequency of the Fourier "
            f"transform is inside them. Lower frontend.num_mels (={frontend.num_mels}) or raise frontend.fft_size "
            f"(={frontend.fft_size})."
        )


def _choose_study(settings: TrainConfig, out: Path | None, *, yes: bool) -> StudyDir:
    """A new study, or the unfinished one that this command started before, if the user wants it."""
    begun = unfinished_study(settings, out)
    if begun is None:
        if out is not None and (out / "config.yaml").is_file():
            if StudyDir(out).is_untrained():  # it gets this config when it is locked
                return StudyDir(out)
            changed = changed_keys(StudyDir(out).config(), settings)
            named = ", ".join(changed[:MAX_KEYS_NAMED]) + (", ..." if len(changed) > MAX_KEYS_NAMED else "")
            raise ConfigError(
                f"'{out}' holds a study of another config, which differs in {named}; resume that one with "
                f"--resume {out}, or give another --out"
            )
        return StudyDir(out or default_study_folder(settings.name))
    if begun.is_untrained():  # it failed at its start
        return begun
    is_asked = sys.stdin.isatty() and not yes
    if yes or (is_asked and typer.confirm(f"Resume the unfinished study {begun.path}?", default=True)):
        say(f"Resuming [bold]{begun.path}[/].")
        return begun
    if out is not None:
        raise ConfigError(
            f"'{out}' already holds this study; resume it with --yes or --resume {out}, or give another --out"
        )
    say(f"Starting a new study; [bold]{begun.path}[/] is unfinished (--yes resumes it).")
    return StudyDir(default_study_folder(settings.name))


def _settings(config: str, overrides: list[str], seeds: list[int]) -> TrainConfig:
    values: dict[str, Any] = load_yaml(config)
    source = f"config '{config}'"
    if overrides:
        values = merge(values, parse_overrides(overrides))
        source += " with --set " + " ".join(overrides)
    if seeds:
        values = merge(values, {"seeds": seeds})
    return build(TrainConfig, values, source)


def _run(settings: TrainConfig, study: StudyDir) -> bool:
    """Train the unfinished seeds of a study, on every process; return False if a signal stopped it."""
    fabric = build_fabric(settings.loop)
    fabric.launch()
    study = StudyDir(fabric.broadcast(study.path))
    if not fabric.is_global_zero:
        quieten()

    def end(message: str) -> None:
        typer.echo(f"error: {message}", err=True)
        if fabric.is_global_zero:
            study.mark_stopped()

    with failing_together(fabric, end):
        return _train(settings, study, fabric)


def _train(settings: TrainConfig, study: StudyDir, fabric: Any) -> bool:
    with ExitStack() as held:
        with one_after_the_first(fabric), study.dropped_if_unused() if fabric.is_global_zero else nullcontext():
            if fabric.is_global_zero:
                held.enter_context(study.claimed(settings))
            clips = _prepare(settings, study)
        show_coverage(clips.report, study.report_path)
        with StopRequest() as stop:
            finished, is_stopped = show_events(train_study(settings, study, clips, fabric, stop), study)
    if is_stopped:
        return False
    if not finished:
        say("Every seed of this study is already trained.")
    say(f"Study: [bold]{study.path}[/]   next: audio-dcls eval --mAP {study.path}")
    return True


def _show_plan(settings: TrainConfig) -> None:
    """Print what would be trained."""
    fabric = build_fabric(settings.loop)
    fabric.launch()
    if not fabric.is_global_zero:
        quieten()
    plan_table(plan_run(settings, fabric), settings)


def _prepare(settings: TrainConfig, study: StudyDir) -> TrainingClips:
    """Read the manifests and check their clips."""
    data = settings.data
    if data.demo_folder is None:
        manifest = load_manifests(data)
    else:
        total = data.demo_train_clips + data.demo_eval_clips
        if not err.is_terminal and not Path(data.demo_folder).exists():  # a log shows no progress bar
            say(f"Synthesising the demo corpus, {total} clips, in {data.demo_folder}")
        with clip_progress("Synthesising the demo corpus", total, is_logged=True) as advance:
            manifest = load_manifests(data, on_progress=advance)
    names = data.split_names(manifest.splits(), manifest.source)
    wanted_splits = {*names.train, *names.eval, *data.validation_splits}
    wanted = sum(count for split, count in manifest.splits().items() if split in wanted_splits)
    with clip_progress("Checking clips", wanted) as advance:
        return prepare_clips(data, manifest, study.report_path, on_progress=advance)
