"""`audio-dcls tag`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Name the sounds in files, with the latest run by default."


def tag(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Sound files.", show_default=False)],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Study, seed-N or checkpoint folder, or model.safetensors (default: latest run)."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Tags per file at most.")] = 10,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Leave out tags less probable than this.")] = 0.0,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="MANIFEST", help="Show beside each file the labels this manifest CSV gives it."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON Lines, one object a file.")] = False,
) -> None:
    """Tag files; one that cannot be read is reported, the rest go on, and the exit code is 2."""
    import json

    from audio_dcls.data import Manifest
    from audio_dcls.errors import AudioFileError
    from audio_dcls.inference import Tagger
    from audio_dcls.training.find_run import find_model, latest_study
    from audio_dcls_cli.progress import say, warn
    from audio_dcls_cli.tables import tag_table

    model_path = find_model(checkpoint if checkpoint is not None else latest_study().path)
    tagger = Tagger.load(model_path)
    true_labels: dict[Path, tuple[str, ...]] = {}
    if truth is not None:
        for clip in Manifest.load(truth, tagger.labels).clips:
            true_labels[clip.path.resolve()] = tuple(tagger.labels.names[c] for c in clip.labels)
    if not json_:
        say(f"Model: {model_path}")
    num_failed = 0
    for file in files:
        try:
            result = tagger.tag(file, top_k=top_k, threshold=threshold)
        except AudioFileError as error:
            warn(str(error))
            num_failed += 1
            continue
        true = true_labels.get(file.resolve())
        if truth is not None and true is None:
            warn(f"'{file}' is not in '{truth}', so its labels are not shown")
        if json_:
            typer.echo(json.dumps(result.to_json_dict() | ({} if true is None else {"true_labels": list(true)})))
        else:
            tag_table(result, true)
    if num_failed:
        raise typer.Exit(2)
