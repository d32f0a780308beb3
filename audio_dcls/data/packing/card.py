"""The dataset card of a pack, which the Hugging Face hub and `datasets.load_dataset` read."""

from __future__ import annotations

import json

from audio_dcls.data.packing.plan import file_stem
from audio_dcls.data.stores.codec import Codec, stored_rate_hz
from audio_dcls.data.stores.pack_file import PackInfo

SOUNDS = {
    Codec.flac: "16-bit FLAC, mono, {rate} Hz",
    Codec.pcm16: "16-bit WAV, mono, {rate} Hz",
    Codec.opus: "Ogg Opus, mono, {rate} Hz",
    Codec.source: "the original files, unchanged; `start_s` and `end_s` are the times of the clip in them",
}


def dataset_card(info: PackInfo) -> str:
    """The text of the README.md of a complete pack."""
    splits = {split: num_rows for split, num_rows in info.splits().items() if num_rows}
    files = [
        line
        for split in splits
        for line in (f"  - split: {file_stem(split)}", f"    path: {json.dumps(f'data/{file_stem(split)}-*.parquet')}")
    ]
    plan = info.plan
    sounds = SOUNDS[plan.codec].format(rate=stored_rate_hz(plan.codec, plan.sample_rate_hz))
    lines = [
        "---",
        "task_categories:",
        "- audio-classification",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *files,
        "---",
        "",
        "# Labelled sounds, packed by audio-dcls",
        "",
        f"{info.num_rows} clips; {info.num_left_out} of the manifest could not be read (`left_out.csv`).",
        "",
        "| split | clips |",
        "|---|---|",
        *(f"| {split} | {num_rows} |" for split, num_rows in info.splits().items()),
        "",
        f"Sounds: {sounds}. Columns: `id`, `audio`, `labels` (identifiers, named in `labels.csv`), `sha256` of the",
        "sound's bytes. `pack.json` and `index.arrow` give the position of each sound in its file.",
        "",
        "The licence is that of the sounds.",
        "",
    ]
    return "\n".join(lines)
