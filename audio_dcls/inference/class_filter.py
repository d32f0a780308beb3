"""Which classes a user means: by name, or by what they are kinds of."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from audio_dcls.errors import LabelError
from audio_dcls.inference.ontology import Ontology
from audio_dcls.labels import LabelSet

EXACT = "="
"""Before a name: this class alone, without the kinds beneath it."""


def choose_classes(labels: LabelSet, names: Sequence[str]) -> np.ndarray:
    """Indices of the classes that names stand for.

    A name is a class's id or display name, or the id or name of anything in AudioSet's ontology; case does not matter
    in display names. In a label set with AudioSet's ids it stands for itself and for all that is beneath it: `Dog`
    also means `Bark` and `Howl`, and `Human sounds`, which is no class itself, means 72 of them. `=Dog` means the class
    alone. In other label sets a name is one class.

    Args:
        labels: the classes there are.
        names: at least one.

    Shape:
        (n,) int64, ascending, each index once.

    Raises:
        LabelError: a name is unknown, or there is no class beneath it; or none is given.

    >>> labels = LabelSet.audioset()
    >>> [labels.names[index] for index in choose_classes(labels, ["cat", "=dog"])]
    ['Dog', 'Growling', 'Cat', 'Purr', 'Meow', 'Hiss', 'Caterwaul']
    """
    if isinstance(names, str) or not names:
        raise LabelError(f"`names` (={names!r}) must be a list of at least one class; leave the filter out for all")
    chosen: set[int] = set()
    for name in names:
        chosen.update(_meant(labels, name.strip()))
    return np.array(sorted(chosen), dtype=np.int64)


def _meant(labels: LabelSet, name: str) -> set[int]:
    if name.startswith(EXACT):
        return {labels.index(name.removeprefix(EXACT))}
    ontology = Ontology.audioset()
    own = _own_class(labels, name)
    if own is not None and labels.ids[own] not in ontology.name_of:
        return {own}
    kind = ontology.find(name) if own is None else labels.ids[own]
    if kind is None:
        raise LabelError(_unknown(labels, ontology, name))
    beneath = ontology.beneath(kind)
    found = {index for index, mid in enumerate(labels.ids) if mid in beneath}
    if not found:
        raise LabelError(
            f"none of the model's {len(labels)} classes is {ontology.name_of[kind]!r} ({kind}) or beneath it in "
            "AudioSet's ontology; name a class of the model"
        )
    return found


def _own_class(labels: LabelSet, name: str) -> int | None:
    folded = name.casefold()
    for index, (mid, display_name) in enumerate(zip(labels.ids, labels.names, strict=True)):
        if name == mid or folded == display_name.casefold():
            return index
    return None


def _unknown(labels: LabelSet, ontology: Ontology, name: str) -> str:
    """A message with the nearest name of a class, or of a kind that has classes beneath it."""
    known = {*labels.ids}
    kinds = [text for kind, text in ontology.name_of.items() if not known.isdisjoint(ontology.beneath(kind))]
    candidates = list(dict.fromkeys([*labels.names, *kinds]))
    folded = name.casefold()
    near = [text for text in candidates if len(folded) > 2 and folded in text.casefold()]
    if not near:
        by_folded = {text.casefold(): text for text in candidates}
        near = [by_folded[key] for key in difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)]
    remedy = f"did you mean {near[0]!r}?" if near else f"classes have names such as {labels.names[0]!r}"
    return f"unknown class {name!r}; {remedy}"
