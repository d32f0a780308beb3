r"""Events of sounds as files: CSV, JSON Lines, Audacity's label track, DCASE's list.

| form | ends in | a line is |
| --- | --- | --- |
| `csv` | .csv | path, onset_s, offset_s, id, name, score |
| `jsonl` | .jsonl | an object with the same keys |
| `audacity` | .txt | onset, offset and name between tabs; of one sound, for Audacity's File > Import > Labels |
| `dcase` | .tsv | filename, onset, offset and event_label between tabs, as DCASE's tasks and sed_eval read them |

Bytes of a path that are not UTF-8 are written as \udc80 to \udcff, as in `TagLog`.
"""

from __future__ import annotations

import csv
import io
import json
import re
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from audio_dcls.errors import ArgumentError
from audio_dcls.files import write_atomically
from audio_dcls.inference.events import Event

EventForm = Literal["csv", "jsonl", "audacity", "dcase"]
SoundEvents = tuple[str, Sequence[Event]]
"""A sound's path and its events."""
FORM_OF_SUFFIX: dict[str, EventForm] = {".csv": "csv", ".jsonl": "jsonl", ".txt": "audacity", ".tsv": "dcase"}
CSV_COLUMNS = ("path", "onset_s", "offset_s", "id", "name", "score")
DCASE_COLUMNS = ("filename", "onset", "offset", "event_label")


def event_form(path: str | Path, form: str | None = None) -> EventForm:
    """Return the form of a file: the given one, or the one that its suffix means; `ArgumentError` for others.

    >>> event_form("talk.tsv"), event_form("talk.tsv", "csv")
    ('dcase', 'csv')
    """
    known = typing.get_args(EventForm)
    if form is None:
        found = FORM_OF_SUFFIX.get(Path(path).suffix.lower())
        if found is None:
            raise ArgumentError(
                f"'{path}' must end in one of {', '.join(FORM_OF_SUFFIX)} ({', '.join(known)}), or name its form"
            )
        return found
    if form not in known:
        raise ArgumentError(f"`form` (={form!r}) must be one of {', '.join(known)}")
    return typing.cast(EventForm, form)


def write_events(path: str | Path, sounds: Iterable[SoundEvents], form: str | None = None) -> int:
    r"""Write the events of sounds to one file, which is replaced only by a complete one.

    Args:
        path: file to write; its folder is made.
        sounds: path and events of each sound. A sound without events has no line.
        form: one of `EventForm`; chosen by the file's suffix if None.

    Returns:
        Number of events written.

    Raises:
        ArgumentError: there is no such form, the file cannot be written, or `audacity` is chosen for several sounds.

    >>> import tempfile
    >>> event = Event("/m/0bt9lr", "Dog", 0.5, 2.0, 0.9)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     num_events = write_events(f"{folder}/a.tsv", [("a.wav", [event])])
    ...     Path(folder, "a.tsv").read_text().split("\n")
    ['filename\tonset\toffset\tevent_label', 'a.wav\t0.500\t2.000\tDog', '']
    """
    chosen = event_form(path, form)
    rows = [(sound, event) for sound, events in sounds for event in events]
    named = list(dict.fromkeys(sound for sound, _ in rows))
    check_one_sound(path, named, form)
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, _text(chosen, rows).encode(errors="backslashreplace"))
    except OSError as error:
        raise ArgumentError(f"'{path}' cannot be written: {error.strerror}; choose another place") from error
    return len(rows)


def check_one_sound(path: str | Path, names: Sequence[str], form: str | None = None) -> None:
    """Refuse a label track of several sounds, with an `ArgumentError`."""
    if event_form(path, form) == "audacity" and len(names) > 1:
        raise ArgumentError(
            f"'{path}' is a label track, which belongs to one sound, but there are {len(names)} "
            f"('{names[0]}', '{names[1]}', ...); write one file per sound, or .csv, .jsonl or .tsv for all"
        )


def check_replaceable(path: str | Path, form: str | None = None) -> None:
    """Refuse to overwrite a file that is not a list of events, such as a manifest, with an `ArgumentError`."""
    target = Path(path)
    if not target.is_file():
        return
    with target.open("rb") as file:
        line = file.readline(4096).decode("utf-8", "replace").rstrip("\r\n")
    is_ours = {
        "csv": line == ",".join(CSV_COLUMNS),
        "dcase": line == "\t".join(DCASE_COLUMNS),
        "jsonl": line.startswith("{") and '"onset_s"' in line,
        "audacity": re.fullmatch(r"[\d.]+\t[\d.]+\t.*", line) is not None,
    }[event_form(path, form)]
    if line and not is_ours:
        raise ArgumentError(f"'{path}' exists and is not a list of events; it would be lost, so name another file")


def _text(form: EventForm, rows: list[tuple[str, Event]]) -> str:
    match form:
        case "csv":
            cells = [(sound, _ms(e.onset_s), _ms(e.offset_s), e.id, e.name, f"{e.score:.6f}") for sound, e in rows]
            return _table([CSV_COLUMNS, *cells], ",")
        case "dcase":
            cells = [(sound, _ms(e.onset_s), _ms(e.offset_s), e.name) for sound, e in rows]
            return _table([DCASE_COLUMNS, *cells], "\t")
        case "audacity":
            return "".join(f"{e.onset_s:.6f}\t{e.offset_s:.6f}\t{' '.join(e.name.split())}\n" for _, e in rows)
        case "jsonl":
            return "".join(
                json.dumps({"path": sound, **e.to_json_dict()}, ensure_ascii=False) + "\n" for sound, e in rows
            )


def _ms(time_s: float) -> str:
    return f"{time_s:.3f}"


def _table(rows: list[tuple[str, ...]], delimiter: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return stream.getvalue()
