"""The datasets that `audio-dcls manifest NAME DIR --out CSV` can import: one entry each.

An entry names its function as text, so that the command line can list every importer without loading one.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # the command line reads the entries at its start, before NumPy and pandas are needed
    from audio_dcls.data.importers.dataset_import import DatasetImport


@dataclass(frozen=True)
class ImportOption:
    """A keyword argument of an importer, which the command line offers as an option."""

    name: str
    kind: Any
    default: Any
    help: str
    metavar: str | None = None
    """The placeholder for the value in the help; None chooses one by the type."""
    shown_default: str | None = None
    """The default as the help shows it, where the function chooses it."""


@dataclass(frozen=True)
class Importer:
    """A command that imports a dataset."""

    name: str
    function: str
    """Module in this folder and function, as `module:function`; it takes the folder, then the options by keyword, and
    returns a `DatasetImport`."""
    help: str
    """Help of the command: what it does, and what the folder must hold."""
    options: tuple[ImportOption, ...] = ()

    def run(self, folder: Path, **options: Any) -> DatasetImport:
        """Import the dataset in a folder, with values for `self.options`; errors are those of the function."""
        module, _, function = self.function.partition(":")
        return getattr(importlib.import_module(f"{__package__}.{module}"), function)(folder, **options)


IMPORTERS = (
    Importer(
        "esc50",
        "esc50:import_esc50",
        "Build a manifest of ESC-50: splits fold1 to fold5.\n\nDIR holds meta/esc50.csv and audio/.",
        (ImportOption("esc10", bool, False, "Keep only the ten classes of ESC-10."),),
    ),
    Importer(
        "fsd50k",
        "fsd50k:import_fsd50k",
        "Build a manifest of FSD50K: splits train, val and eval, several labels per clip.\n\n"
        "DIR holds FSD50K.ground_truth/, FSD50K.dev_audio/ and FSD50K.eval_audio/.",
    ),
    Importer(
        "urbansound8k",
        "urbansound8k:import_urbansound8k",
        "Build a manifest of UrbanSound8K: splits fold1 to fold10.\n\n"
        "DIR holds metadata/UrbanSound8K.csv and audio/fold1 to audio/fold10.",
    ),
    Importer(
        "speech-commands",
        "speech_commands:import_speech_commands",
        "Build a manifest of Speech Commands: splits train, val and eval.\n\n"
        "DIR holds one folder per word, validation_list.txt and testing_list.txt.",
        (
            ImportOption(
                "words",
                Literal["all", "commands"],
                "all",
                "all: one class per word; commands: ten words, and unknown for the others.",
            ),
        ),
    ),
    Importer(
        "folders",
        "class_folders:import_class_folders",
        "Build a manifest from one folder per class: DIR/CLASS/x.wav, or DIR/SPLIT/CLASS/x.wav.\n\n"
        "If there are no splits, a share of each class is held out.",
        (
            ImportOption(
                "layout", Literal["auto", "classes", "splits"], "auto", "What DIR holds; auto decides by the names."
            ),
            ImportOption("held_out", float | None, None, "Share of each class for split eval.", "SHARE", "0.2"),
            ImportOption("seed", int, 0, "Seed that decides which clips are held out."),
        ),
    ),
)
"""Every importer, in the order in which the help lists the commands."""
