"""Choosing classes by name and by parent; the ontology hangs together."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_dcls.data.demo.sounds import demo_labels
from audio_dcls.errors import LabelError
from audio_dcls.inference.class_filter import choose_classes
from audio_dcls.inference.ontology import Ontology
from audio_dcls.labels import LabelSet

AUDIOSET = LabelSet.audioset()
PLAIN = LabelSet(ids=("dog", "cat"), names=("Dog", "Cat"))


def named(labels: LabelSet, *names: str) -> list[str]:
    return [labels.names[index] for index in choose_classes(labels, names)]


def test_the_ontology_holds_every_class_under_its_name() -> None:
    ontology = Ontology.audioset()
    assert len(ontology.name_of) == 632
    for mid, name in zip(AUDIOSET.ids, AUDIOSET.names, strict=True):
        assert ontology.name_of[mid] == name


def test_the_ontology_is_seven_trees_grown_together() -> None:
    ontology = Ontology.audioset()
    children = {child for beneath in ontology.children_of.values() for child in beneath}
    assert children <= ontology.name_of.keys()
    tops = [kind for kind in ontology.name_of if kind not in children]
    assert sorted(ontology.name_of[kind] for kind in tops) == [
        "Animal",
        "Channel, environment and background",
        "Human sounds",
        "Music",
        "Natural sounds",
        "Sounds of things",
        "Source-ambiguous sounds",
    ]
    assert frozenset().union(*(ontology.beneath(kind) for kind in tops)) == ontology.name_of.keys()
    for kind, beneath in ontology.children_of.items():
        assert all(kind not in ontology.beneath(child) for child in beneath), kind


def test_a_name_means_the_class_and_what_is_beneath_it() -> None:
    assert named(AUDIOSET, "dog") == [
        "Dog", "Bark", "Yip", "Howl", "Bow-wow", "Growling", "Whimper (dog)",
    ]  # fmt: skip
    assert named(AUDIOSET, "/m/0bt9lr") == named(AUDIOSET, " DOG ")
    assert named(AUDIOSET, "=dog") == ["Dog"]
    assert named(AUDIOSET, "Howl", "Meow") == ["Howl", "Meow"]


def test_a_parent_that_is_no_class_means_its_classes() -> None:
    assert "Human voice" not in AUDIOSET.names
    voices = named(AUDIOSET, "human voice")
    assert {"Speech", "Babbling", "Laughter", "Yodeling"} <= set(voices) and "Cough" not in voices
    assert voices == named(AUDIOSET, "/m/09l8g")


def test_indices_ascend_and_come_once() -> None:
    indices = choose_classes(AUDIOSET, ["Animal", "Dog", "=Dog"])
    assert sorted(set(indices.tolist())) == indices.tolist()


def test_a_part_of_audiosets_classes_has_its_parents_too() -> None:
    labels = demo_labels()
    assert named(labels, "Source-ambiguous sounds")
    assert set(named(labels, "Bell")) < set(named(AUDIOSET, "Bell"))
    with pytest.raises(LabelError, match=r"'Animal' .* are not among the model's 25 classes"):
        choose_classes(labels, ["animal"])


def test_labels_of_ones_own_have_no_parents() -> None:
    assert named(PLAIN, "cat") == ["Cat"]
    with pytest.raises(LabelError, match="'Animal'"):
        choose_classes(PLAIN, ["Animal"])


@pytest.mark.parametrize(
    ("name", "hint"), [("rooster", "'Chicken, rooster'"), ("Speach", "'Speech'"), ("humman voice", "'Human voice'")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(LabelError, match=f"unknown class '{name}'; did you mean {hint}"):
        choose_classes(AUDIOSET, [name])


def test_no_name_and_a_bare_text_are_refused() -> None:
    for names in ([], "Dog"):
        with pytest.raises(LabelError, match="at least one class"):
            choose_classes(AUDIOSET, names)


def test_the_ontologys_licence_is_told() -> None:
    text = Path(__file__).parents[2].joinpath("data_manifests", "README.md").read_text()
    assert "CC BY-SA 4.0" in text and "audioset_ontology.csv" in text
