"""`audio-dcls tag`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Name the sounds in files, with the latest run by default."


def tag(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Sound files.", show_default=False)],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Study, seed-N or checkpoint folder, or model.safetensors [default: latest run].")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Tags per file at most.")] = 10,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Leave out tags less probable than this.")] = 0.0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON Lines, one object a file.")] = False,
) -> None:
    """Tag files; one that cannot be read is reported, the rest go on, and the exit code is 2."""
    import json

    from audio_dcls.errors import AudioFileError
    from audio_dcls.inference import Tagger
    from audio_dcls.training.run_dir import find_model, latest_study
    from audio_dcls_cli.progress import say, warn
    from audio_dcls_cli.tables import tag_table

    model_path = find_model(checkpoint if checkpoint is not None else latest_study().path)
    tagger = Tagger.load(model_path)
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
        if json_:
            typer.echo(json.dumps(result.to_json_dict()))
        else:
            tag_table(result)
    if num_failed:
        raise typer.Exit(2)
