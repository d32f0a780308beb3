"""AudioSet's ontology: kinds of sound and their subkinds."""

from __future__ import annotations

import csv
import functools
import importlib.resources
from dataclasses import dataclass


@dataclass(frozen=True)
class Ontology:
    """Kinds of sound, each with its direct subkinds. A kind may have several parents.

    >>> ontology = Ontology.audioset()
    >>> len(ontology.name_of), ontology.find("ROOSTER"), ontology.find("Human Voice")
    (632, None, '/m/09l8g')
    """

    name_of: dict[str, str]
    """Display name by id."""
    children_of: dict[str, tuple[str, ...]]
    """Ids of the direct subkinds, by id."""

    @classmethod
    def audioset(cls) -> Ontology:
        """The 632 kinds of AudioSet; its 527 labelled classes are among them."""
        return _audioset()

    def find(self, key: str) -> str | None:
        """Return the id of the kind with this id or name (in any case), or None if there is no such kind."""
        if key in self.name_of:
            return key
        wanted = key.casefold()
        return next((kind for kind, name in self.name_of.items() if name.casefold() == wanted), None)

    def beneath(self, kind: str) -> frozenset[str]:
        """Return a kind and all its subkinds, at any depth.

        >>> ontology = Ontology.audioset()
        >>> sorted(ontology.name_of[kind] for kind in ontology.beneath("/m/01yrx"))
        ['Cat', 'Cat communication', 'Caterwaul', 'Growling', 'Hiss', 'Meow', 'Purr']
        """
        found: set[str] = set()
        waiting = [kind]
        while waiting:
            kind = waiting.pop()
            if kind not in found:
                found.add(kind)
                waiting.extend(self.children_of[kind])
        return frozenset(found)


@functools.cache
def _audioset() -> Ontology:
    source = importlib.resources.files("audio_dcls_manifests") / "labels" / "audioset_ontology.csv"
    rows = list(csv.DictReader(source.read_text(encoding="utf-8").splitlines()))
    return Ontology(
        name_of={row["mid"]: row["display_name"] for row in rows},
        children_of={row["mid"]: tuple(filter(None, row["child_mids"].split(";"))) for row in rows},
    )
