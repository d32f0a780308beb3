"""`audio-dcls demo`: write the demo corpus."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from audio_dcls.data.demo import write_demo_corpus
from audio_dcls_cli.screen.progress import clip_progress, say


def demo(*, folder: Path, num_train: int, num_eval: int, seed: int, json_: bool) -> None:
    """Write the corpus; an existing complete one with the same numbers is kept."""
    with clip_progress("Synthesising the demo corpus", num_train + num_eval, quiet=json_) as advance:
        corpus = write_demo_corpus(folder, seed=seed, num_train=num_train, num_eval=num_eval, on_progress=advance)
    if json_:
        paths = {"manifest": corpus.manifest, "labels": corpus.labels, "audio": corpus.audio, **corpus.segments}
        typer.echo(json.dumps({name: str(path) for name, path in paths.items()} | {"reused": corpus.reused}))
        return
    state = "kept, because it already exists" if corpus.reused else "written"
    say(f"Demo corpus {state}: {num_train} clips to train on, {num_eval} to measure on, in [bold]{corpus.folder}[/]")
    say(f"  manifest  {corpus.manifest}")
    say(f"  classes   {corpus.labels}")
    for split, path in corpus.segments.items():
        say(f"  {split:8}  {path} (AudioSet's form)")
    say(f"  audio     {corpus.audio}")
