"""`audio-dcls demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Synthesise the demo corpus: labelled sounds of 25 AudioSet classes, without a download."


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.", show_default=False)],
    num_train: Annotated[int, typer.Option(min=1, help="Clips to train on.")] = 1100,
    num_eval: Annotated[int, typer.Option(min=1, help="Clips to measure on.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same sounds.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write the corpus; one that is already there, whole and with the same numbers, is kept."""
    import json

    from audio_dcls.data.demo import write_demo_corpus
    from audio_dcls_cli.progress import clip_progress, say

    with clip_progress("Synthesising the demo corpus", num_train + num_eval, quiet=json_) as advance:
        corpus = write_demo_corpus(folder, seed=seed, num_train=num_train, num_eval=num_eval, on_progress=advance)
    if json_:
        paths = {"manifest": corpus.manifest, "labels": corpus.labels, "audio": corpus.audio, **corpus.segments}
        typer.echo(json.dumps({name: str(path) for name, path in paths.items()} | {"reused": corpus.reused}))
        return
    state = "kept, it was already there" if corpus.reused else "written"
    say(f"Demo corpus {state}: {num_train} clips to train on, {num_eval} to measure on, in [bold]{corpus.folder}[/]")
    say(f"  manifest  {corpus.manifest}")
    say(f"  classes   {corpus.labels}")
    for split, path in corpus.segments.items():
        say(f"  {split:8}  {path} (AudioSet's form)")
    say(f"  audio     {corpus.audio}")
