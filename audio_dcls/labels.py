"""Label sets: index <-> identifier <-> display name.

An index is the position of a class in a tagger's output. For AudioSet the identifier is the class's MID.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import importlib.resources
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audio_dcls.errors import ArgumentError, LabelError
from audio_dcls.near_names import near_names

COLUMNS = ("index", "mid", "display_name")
SEPARATOR = ";"


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of classes, each with an identifier and a display name.

    Args:
        ids: one identifier per class; unique, without `;`.
        names: one display name per class; unique whatever the case, without `;`.

    Raises:
        LabelError: the two differ in length, are empty, or an entry is empty, ambiguous or holds a `;`.

    >>> labels = LabelSet(ids=("dog", "cat"), names=("Dog, barking", "Cat"))
    >>> labels.index("dog, barking"), labels.index("cat"), len(labels)
    (0, 1, 2)
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    _index_of: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.ids or len(self.ids) != len(self.names):
            raise LabelError(
                f"a label set needs as many names (={len(self.names)}) as ids (={len(self.ids)}), and at least one"
            )
        index_of: dict[str, int] = {}
        for keys in (self.ids, [name.casefold() for name in self.names]):
            for index, key in enumerate(keys):
                if not key.strip() or key != key.strip() or SEPARATOR in key:
                    raise LabelError(
                        f"label {index} (={key!r}) must be text without outer spaces and without '{SEPARATOR}', "
                        "which separates labels in a manifest; rename it"
                    )
                if index_of.setdefault(key, index) != index:
                    other = index_of[key]
                    raise LabelError(f"label {index} (={key!r}) also names label {other}; rename one of them")
        object.__setattr__(self, "_index_of", index_of)

    def __len__(self) -> int:
        return len(self.ids)

    def sha256(self) -> str:
        """The SHA-256 of the identifiers and names, in 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps([self.ids, self.names]).encode()).hexdigest()

    @classmethod
    def audioset(cls) -> LabelSet:
        """The 527 classes of AudioSet, in its own order.

        >>> labels = LabelSet.audioset()
        >>> len(labels), labels.ids[0], labels.names[0], labels.index("sine wave")
        (527, '/m/09x0r', 'Speech', 501)
        """
        return _audioset()

    @classmethod
    def from_csv(cls, path: str | Path) -> LabelSet:
        """Read a label set written as AudioSet's `class_labels_indices.csv`: index, mid, display_name.

        The rows may have any order; the indices must be 0 .. C - 1, each once.

        Raises:
            LabelError: the file is missing, not of this form, or a row is wrong; the row is named.
        """
        path = Path(path)
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                rows = [row for row in csv.reader(stream, skipinitialspace=True, strict=True) if row]
        except FileNotFoundError as error:
            raise LabelError(f"label file '{path}' does not exist; check the path") from error
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise LabelError(f"label file '{path}' is not a readable UTF-8 CSV file: {error}") from error
        header = tuple(cell.strip().lower() for cell in rows[0]) if rows else ()
        if header != COLUMNS:
            found = ",".join(header)
            raise LabelError(f"label file '{path}' must start with the columns {','.join(COLUMNS)}, found {found!r}")
        classes = dict(_parse_row(path, number, row) for number, row in enumerate(rows[1:], start=2))
        if sorted(classes) != list(range(len(rows) - 1)):
            raise LabelError(f"label file '{path}': the indices must be 0 to {len(rows) - 2}, each once; renumber them")
        ordered = [classes[index] for index in range(len(classes))]
        try:
            return cls(ids=tuple(mid for mid, _ in ordered), names=tuple(name for _, name in ordered))
        except LabelError as error:
            raise LabelError(f"label file '{path}': {error}") from error

    def to_csv(self, path: str | Path) -> None:
        """Write the form `from_csv` reads, names quoted as AudioSet quotes them."""
        lines = [",".join(COLUMNS)]
        for index, (mid, name) in enumerate(zip(self.ids, self.names, strict=True)):
            mid = _quote(mid) if "," in mid or '"' in mid else mid
            lines.append(f"{index},{mid},{_quote(name)}")
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def index(self, key: str) -> int:
        """Index of a class by identifier, or by display name whatever its case.

        Raises:
            LabelError: no class has this identifier or name; the most similar one is named.
        """
        index = self._index_of.get(key.strip())
        if index is None:
            index = self._index_of.get(key.strip().casefold())
        if index is None:
            raise LabelError(f"unknown label {key!r}; {self._hint(key)}")
        return index

    def _hint(self, key: str) -> str:
        wanted = key.strip().casefold()
        part_of = [name for name in self.names if len(wanted) > 2 and wanted in name.casefold()]
        if part_of:
            return f"did you mean {part_of[0]!r} ({self.ids[self.names.index(part_of[0])]})?"
        near = near_names(wanted, self._index_of, min_similarity=0.6)
        if near:
            index = self._index_of[near[0]]
            return f"did you mean {self.names[index]!r} ({self.ids[index]})?"
        return f"labels are identifiers such as {self.ids[0]!r} or names such as {self.names[0]!r}"

    def subset(self, keys: Iterable[str]) -> LabelSet:
        """The classes named by `keys` (identifiers or names), in the order given.

        Raises:
            LabelError: a key is unknown or names a class twice.
        """
        indices = [self.index(key) for key in keys]
        return LabelSet(ids=tuple(self.ids[i] for i in indices), names=tuple(self.names[i] for i in indices))

    def multi_hot(self, indices: Sequence[int]) -> np.ndarray:
        """Target vector: 1 at each index, 0 elsewhere.

        Shape: (C,) float32.

        Raises:
            ArgumentError: an index is outside 0 .. C - 1.

        >>> LabelSet(ids=("a", "b", "c"), names=("A", "B", "C")).multi_hot([0, 2])
        array([1., 0., 1.], dtype=float32)
        """
        target = np.zeros(len(self), dtype=np.float32)
        for index in indices:
            if not 0 <= index < len(self):
                raise ArgumentError(f"`indices` (holding {index}) must be in 0..{len(self) - 1}, one per label")
            target[index] = 1.0
        return target

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_json_dict` reads them back."""
        return {"ids": list(self.ids), "names": list(self.names)}

    @classmethod
    def from_json_dict(cls, values: dict[str, Any]) -> LabelSet:
        """Rebuild from `to_json_dict`.

        Raises:
            LabelError: the mapping has not exactly the keys `ids` and `names`, each a list of text.
        """
        lists = [values.get("ids"), values.get("names")]
        if set(values) != {"ids", "names"} or not all(
            isinstance(entries, list) and all(isinstance(entry, str) for entry in entries) for entries in lists
        ):
            raise LabelError(f"a label set in JSON must hold 'ids' and 'names', lists of text; found {sorted(values)}")
        return cls(ids=tuple(values["ids"]), names=tuple(values["names"]))


@functools.cache
def _audioset() -> LabelSet:
    resource = importlib.resources.files("audio_dcls_manifests") / "labels" / "audioset_527.csv"
    with importlib.resources.as_file(resource) as path:
        return LabelSet.from_csv(path)


def _parse_row(path: Path, number: int, row: list[str]) -> tuple[int, tuple[str, str]]:
    if len(row) != len(COLUMNS) or not row[0].strip().isdecimal():
        raise LabelError(
            f"label file '{path}', row {number} (={','.join(row)!r}) must be a whole number, an identifier and a name; "
            "put a name that holds a comma in double quotes"
        )
    return int(row[0]), (row[1].strip(), row[2].strip())


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
