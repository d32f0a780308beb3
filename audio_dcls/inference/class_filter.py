"""Choose classes by their names, or by the names of their parents in AudioSet's ontology."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audio_dcls.errors import LabelError
from audio_dcls.inference.ontology import Ontology
from audio_dcls.labels import LabelSet
from audio_dcls.near_names import near_names

EXACT = "="
"""Prefix of a name that means this class alone, without its subkinds."""


def choose_classes(labels: LabelSet, names: Sequence[str]) -> np.ndarray:
    """Return the indices of the classes that names mean.

    A name is a class's id or display name, or the id or name of anything in AudioSet's ontology; case does not matter
    in display names. In a label set with AudioSet's ids it means itself and all its subkinds: `Dog`
    also means `Bark` and `Howl`, and `Human sounds`, which is no class itself, means 72 of them. `=Dog` means the class
    alone. In other label sets a name is one class.

    Args:
        labels: the classes of the model.
        names: at least one.

    Shape:
        (n,) int64, ascending, each index once.

    Raises:
        LabelError: a name is unknown, no class belongs to it, or the list is empty.

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
            f"{ontology.name_of[kind]!r} ({kind}) and its subkinds in AudioSet's ontology are not among the model's "
            f"{len(labels)} classes; name a class of the model"
        )
    return found


def _own_class(labels: LabelSet, name: str) -> int | None:
    folded = name.casefold()
    for index, (mid, display_name) in enumerate(zip(labels.ids, labels.names, strict=True)):
        if name == mid or folded == display_name.casefold():
            return index
    return None


def _unknown(labels: LabelSet, ontology: Ontology, name: str) -> str:
    """Return a message with the nearest name of a class, or of a kind that has classes."""
    known = {*labels.ids}
    kinds = [text for kind, text in ontology.name_of.items() if not known.isdisjoint(ontology.beneath(kind))]
    candidates = list(dict.fromkeys([*labels.names, *kinds]))
    folded = name.casefold()
    near = [text for text in candidates if len(folded) > 2 and folded in text.casefold()]
    if not near:
        by_folded = {text.casefold(): text for text in candidates}
        near = [by_folded[key] for key in near_names(folded, by_folded, min_similarity=0.6)]
    remedy = f"did you mean {near[0]!r}?" if near else f"classes have names such as {labels.names[0]!r}"
    return f"unknown class {name!r}; {remedy}"
