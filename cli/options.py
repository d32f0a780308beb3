"""Options that several commands have, and groups of commands with a default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels", metavar="CSV", help="A class_labels_indices.csv (default: AudioSet's 527 classes)."),
]
Workers = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Threads that read files, or 0.", show_default="one per core"),
]
Source = Annotated[
    str,
    typer.Argument(metavar="MANIFEST", help="CSV, packed index, HDF5 file or packed folder.", show_default=False),
]
ManifestOut = Annotated[Path, typer.Option(metavar="CSV", help="Manifest to write.")]
NUM_THREADS = os.cpu_count() or 1


def group_with_default(default: str) -> type[TyperGroup]:
    """A class of command groups in which arguments that name no command go to the command `default`."""

    class GroupWithDefault(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
                args = [default, *args]
            return super().parse_args(ctx, args)

    return GroupWithDefault
