"""`audio-dcls train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from audio_dcls.training.config import TrainConfig
    from audio_dcls.training.run_dir import StudyDir

HELP = "Train a tagger from a config; with no config, the demo: a synthesised corpus, no download."
DEMO_CONFIG = "configs/demo.yaml"


def train(
    config: Annotated[
        str | None, typer.Argument(help="YAML config; the demo's if left out.", show_default=False)
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seed; repeat for several runs in one study.")] = None,
    out: Annotated[Path | None, typer.Option(help="Study folder to make (default: runs/NAME-DATE-TIME).")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a config key, e.g. loop.epochs=5.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Study folder to go on with.")] = None,
) -> None:
    """Train every seed of a config, one after another, into one study folder."""
    from audio_dcls.errors import ConfigError
    from audio_dcls.training.run_dir import StudyDir
    from audio_dcls.training.study import default_study_folder
    from audio_dcls_cli.progress import say

    if resume is not None:
        given = [n for n, v in (("CONFIG", config), ("--out", out), ("--set", set_), ("--seed", seed)) if v]
        if given:
            raise ConfigError(f"--resume takes its config from '{resume}': leave out {', '.join(given)}")
        study = StudyDir(resume)
        settings = study.config()
        say(f"Going on with [bold]{study.path}[/].")
    else:
        if config is None:
            say(f"No config given: training the demo ([bold]{DEMO_CONFIG}[/]) on a synthesised corpus.")
        settings = _settings(config or DEMO_CONFIG, set_ or [], seed or [])
        study = StudyDir(out or default_study_folder(settings.name))
        if out is not None and (out / "config.yaml").is_file():
            raise ConfigError(f"'{out}' already holds a study; go on with it by --resume {out}, or give another --out")
    _run(settings, study, new=resume is None)


def _settings(config: str, overrides: list[str], seeds: list[int]) -> TrainConfig:
    from audio_dcls.settings import build, load_yaml, merge, parse_overrides
    from audio_dcls.training.config import TrainConfig

    values: dict[str, Any] = load_yaml(config)
    source = f"config '{config}'"
    if overrides:
        values = merge(values, parse_overrides(overrides))
        source += " with --set " + " ".join(overrides)
    if seeds:
        values = merge(values, {"seeds": seeds})
    return build(TrainConfig, values, source)


def _run(settings: TrainConfig, study: StudyDir, *, new: bool) -> None:
    from audio_dcls.training.clips import load_manifests, prepare_clips
    from audio_dcls.training.study import train_study
    from audio_dcls_cli.progress import clip_progress, say, show_coverage, show_events

    data = settings.data
    if data.demo_folder is None:
        manifest = load_manifests(data)
    else:
        total = data.demo_train_clips + data.demo_eval_clips
        with clip_progress("Synthesising the demo corpus", total) as advance:
            manifest = load_manifests(data, on_progress=advance)
    if new:
        study.create(settings)
    wanted = sum(clip.split in (*data.train_splits, *data.eval_splits) for clip in manifest.clips)
    with clip_progress("Checking clips", wanted) as advance:
        clips = prepare_clips(
            data,
            manifest,
            study.report_path,
            sample_rate_hz=settings.frontend.sample_rate_hz,
            on_progress=advance,
        )
    show_coverage(clips.report, study.report_path)
    finished = show_events(train_study(settings, study, clips), study)
    if not finished:
        say("Every seed of this study is already trained.")
    say(f"Study: [bold]{study.path}[/]   next: audio-dcls eval --mAP {study.path}")
