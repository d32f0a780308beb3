"""`audio-dcls manifest esc50 | fsd50k | urbansound8k | speech-commands | folders`: manifests of known datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from audio_dcls_cli.options import Json, ManifestOut

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The dataset's folder.", show_default=False)]
LabelsOut = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Classes to write, as index,mid,display_name (default: OUT_labels.csv)."),
]


def esc50(
    folder: Folder,
    out: ManifestOut,
    esc10: Annotated[bool, typer.Option("--esc10", help="Keep only the ten classes of ESC-10.")] = False,
    labels_out: LabelsOut = None,
    json_: Json = False,
) -> None:
    """Build a manifest of ESC-50: splits fold1 to fold5.

    DIR holds meta/esc50.csv and audio/.
    """
    from audio_dcls_cli.actions import manifest_import as actions

    actions.esc50(folder=folder, out=out, esc10=esc10, labels_out=labels_out, json_=json_)


def urbansound8k(folder: Folder, out: ManifestOut, labels_out: LabelsOut = None, json_: Json = False) -> None:
    """Build a manifest of UrbanSound8K: splits fold1 to fold10.

    DIR holds metadata/UrbanSound8K.csv and audio/fold1 to audio/fold10.
    """
    from audio_dcls_cli.actions import manifest_import as actions

    actions.urbansound8k(folder=folder, out=out, labels_out=labels_out, json_=json_)


def fsd50k(folder: Folder, out: ManifestOut, labels_out: LabelsOut = None, json_: Json = False) -> None:
    """Build a manifest of FSD50K: splits train, val and eval, several labels per clip.

    DIR holds FSD50K.ground_truth/, FSD50K.dev_audio/ and FSD50K.eval_audio/.
    """
    from audio_dcls_cli.actions import manifest_import as actions

    actions.fsd50k(folder=folder, out=out, labels_out=labels_out, json_=json_)


def speech_commands(
    folder: Folder,
    out: ManifestOut,
    words: Annotated[
        Literal["all", "commands"],
        typer.Option(help="all: one class per word; commands: ten words, and unknown for the others."),
    ] = "all",
    labels_out: LabelsOut = None,
    json_: Json = False,
) -> None:
    """Build a manifest of Speech Commands: splits train, val and eval.

    DIR holds one folder per word, validation_list.txt and testing_list.txt.
    """
    from audio_dcls_cli.actions import manifest_import as actions

    actions.speech_commands(folder=folder, out=out, words=words, labels_out=labels_out, json_=json_)


def folders(
    folder: Folder,
    out: ManifestOut,
    layout: Annotated[
        Literal["auto", "classes", "splits"], typer.Option(help="What DIR holds; auto decides by the names.")
    ] = "auto",
    held_out: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of each class for split eval.", show_default="0.2"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed that decides which clips are held out.")] = 0,
    labels_out: LabelsOut = None,
    json_: Json = False,
) -> None:
    """Build a manifest from one folder per class: DIR/CLASS/x.wav, or DIR/SPLIT/CLASS/x.wav.

    If there are no splits, a share of each class is held out.
    """
    from audio_dcls_cli.actions import manifest_import as actions

    actions.folders(
        folder=folder, out=out, layout=layout, held_out=held_out, seed=seed, labels_out=labels_out, json_=json_
    )


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for name, command in {
        "esc50": esc50,
        "fsd50k": fsd50k,
        "urbansound8k": urbansound8k,
        "speech-commands": speech_commands,
        "folders": folders,
    }.items():
        app.command(name=name)(command)
