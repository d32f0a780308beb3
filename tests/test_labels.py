"""Label sets: AudioSet's list as shipped, its CSV form, look-up, and what is refused."""

import csv
import importlib.resources

import numpy as np
import pytest

from audio_dcls.errors import ArgumentError, LabelError
from audio_dcls.labels import LabelSet

# Well-known rows of AudioSet's class_labels_indices.csv.
SPOT_CHECKS = {
    0: ("/m/09x0r", "Speech"),
    1: ("/m/05zppz", "Male speech, man speaking"),
    16: ("/m/01j3sz", "Laughter"),
    72: ("/m/0jbk", "Animal"),
    74: ("/m/0bt9lr", "Dog"),
    137: ("/m/04rlf", "Music"),
    140: ("/m/0342h", "Guitar"),
    300: ("/m/07yv9", "Vehicle"),
    433: ("/g/122z_qxw", "Firecracker"),
    500: ("/m/028v0c", "Silence"),
    506: ("/t/dd00125", "Inside, small room"),
    526: ("/m/07hvw1", "Field recording"),
}


@pytest.fixture
def pets() -> LabelSet:
    return LabelSet(ids=("/m/dog", "/m/cat", "/m/fish"), names=("Dog, hound", "Cat", 'So-called "fish"'))


def test_audioset_has_its_classes_in_order():
    labels = LabelSet.audioset()
    assert len(labels) == len(set(labels.ids)) == len({name.casefold() for name in labels.names}) == 527
    assert {index: (labels.ids[index], labels.names[index]) for index in SPOT_CHECKS} == SPOT_CHECKS


def test_audioset_figures_of_the_readme():
    labels = LabelSet.audioset()
    assert sum("," in name for name in labels.names) == 75
    assert [sum(mid.startswith(form) for mid in labels.ids) for form in ("/m/", "/t/dd", "/g/")] == [492, 34, 1]
    assert labels.names[255] == "A capella"
    assert labels.names[301] == "Boat, Water vehicle"
    assert not any(";" in text for text in labels.ids + labels.names)


def test_audioset_agrees_with_a_plain_reading_of_the_shipped_file():
    shipped = importlib.resources.files("audio_dcls_manifests") / "labels" / "audioset_527.csv"
    text = shipped.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    labels = LabelSet.audioset()
    assert [row["mid"] for row in rows] == list(labels.ids)
    assert [row["display_name"] for row in rows] == list(labels.names)
    assert [int(row["index"]) for row in rows] == list(range(527))


def test_written_file_is_the_shipped_one_byte_for_byte(tmp_path):
    LabelSet.audioset().to_csv(tmp_path / "labels.csv")
    shipped = (importlib.resources.files("audio_dcls_manifests") / "labels" / "audioset_527.csv").read_bytes()
    assert (tmp_path / "labels.csv").read_bytes() == shipped


def test_round_trips(tmp_path, pets):
    pets.to_csv(tmp_path / "labels.csv")
    assert LabelSet.from_csv(tmp_path / "labels.csv") == pets
    assert LabelSet.from_json_dict(pets.to_json_dict()) == pets


def test_csv_rows_in_any_order_with_byte_order_mark(tmp_path):
    (tmp_path / "labels.csv").write_bytes("\ufeffindex,mid,display_name\r\n1,b,Née\r\n\r\n0, a, First\r\n".encode())
    assert LabelSet.from_csv(tmp_path / "labels.csv") == LabelSet(ids=("a", "b"), names=("First", "Née"))


@pytest.mark.parametrize("key", ["/m/0bt9lr", "Dog", "dog", " DOG "])
def test_index_by_id_or_name(key):
    assert LabelSet.audioset().index(key) == 74


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("Speach", "did you mean 'Speech' (/m/09x0r)?"),
        ("/m/09x0rr", "did you mean 'Speech' (/m/09x0r)?"),
        ("rooster", "did you mean 'Chicken, rooster'"),
        ("qqqq", "identifiers such as '/m/09x0r' or names such as 'Speech'"),
        ("", "identifiers such as"),
    ],
)
def test_unknown_label_is_told_the_nearest(key, hint):
    with pytest.raises(LabelError) as caught:
        LabelSet.audioset().index(key)
    assert repr(key) in str(caught.value)
    assert hint in str(caught.value)


def test_subset_keeps_the_order_given(pets):
    assert pets.subset(["cat", "/m/dog"]) == LabelSet(ids=("/m/cat", "/m/dog"), names=("Cat", "Dog, hound"))
    with pytest.raises(LabelError, match="unknown label 'bird'"):
        pets.subset(["bird"])
    with pytest.raises(LabelError, match="rename one of them"):
        pets.subset(["cat", "/m/cat"])


def test_multi_hot(pets):
    target = pets.multi_hot([2, 0])
    np.testing.assert_array_equal(target, [1, 0, 1])
    assert target.dtype == np.float32
    np.testing.assert_array_equal(pets.multi_hot([]), [0, 0, 0])
    for index in (-1, 3):
        with pytest.raises(ArgumentError, match=r"must be in 0\.\.2"):
            pets.multi_hot([index])


@pytest.mark.parametrize(
    ("ids", "names", "words"),
    [
        ((), (), "at least one"),
        (("a",), ("A", "B"), "as many names"),
        (("a", "a"), ("A", "B"), "also names label 0"),
        (("a", "b"), ("Same", "same"), "also names label 0"),
        (("a", "b"), ("b", "B2"), "also names label 1"),
        (("a;b",), ("A",), "separates labels"),
        (("a",), (" ",), "must be text"),
        (("a ",), ("A",), "outer spaces"),
    ],
)
def test_ambiguous_sets_are_refused(ids, names, words):
    with pytest.raises(LabelError, match=words):
        LabelSet(ids=ids, names=names)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must start with the columns"),
        (b"id,name\n0,a\n", "must start with the columns"),
        (b"index,mid,display_name\n0,/m/a\n", "row 2"),
        (b"index,mid,display_name\n0,/m/a,Chicken, rooster\n", "double quotes"),
        (b"index,mid,display_name\nzero,/m/a,A\n", "row 2"),
        (b"index,mid,display_name\n1,/m/a,A\n", "0 to 0"),
        (b"index,mid,display_name\n0,/m/a,A\n0,/m/b,B\n", "0 to 1"),
        (b"index,mid,display_name\n0,/m/a,A\n1,/m/a,B\n", "also names"),
        (b"RIFF\xff\xfe\x00", "UTF-8"),
    ],
)
def test_wrong_label_files_are_named(tmp_path, content, words):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(LabelError, match=words) as caught:
        LabelSet.from_csv(path)
    assert str(path) in str(caught.value)


def test_missing_label_file(tmp_path):
    with pytest.raises(LabelError, match="does not exist"):
        LabelSet.from_csv(tmp_path / "none.csv")


@pytest.mark.parametrize("values", [{}, {"ids": ["a"]}, {"ids": ["a"], "names": [1]}, {"ids": "a", "names": "A"}])
def test_wrong_json_is_refused(values):
    with pytest.raises(LabelError, match="'ids' and 'names'"):
        LabelSet.from_json_dict(values)
