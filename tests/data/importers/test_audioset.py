"""AudioSet's own form: segments lists, the ways people name its files, and what becomes of what is not there."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.importers.audioset import import_audioset, read_segments
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.sound.audio_folder import AudioFolder
from audio_dcls.data.sound.decode import decode_mono
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.labels import LabelSet

LABELS = LabelSet.audioset()
COMMENTS = (
    "# Segments csv created Sun Mar  5 10:54:31 2017\n"
    "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
)
SEGMENTS = COMMENTS + (
    '--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n'
    '-_1234567_9, 0.000, 10.000, "/m/012xff"\n'
    'abcdefghijk, 5.500, 15.500, "/m/0bt9lr"\n'
)
IDS = ["--PJHxphWEs_30000", "-_1234567_9_0", "abcdefghijk_5500"]


def write_list(folder: Path, text: str = SEGMENTS, name: str = "eval_segments.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def write_sound(path: Path, duration_s: float) -> None:
    """Noise whose level says the second it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(duration_s * 8000)) / 8000
    noise = np.random.default_rng(0).uniform(-1, 1, len(t))
    soundfile.write(path, noise * (np.floor(t) + 1) / 64, 8000)


def test_reads_a_segments_list(tmp_path):
    manifest = read_segments(write_list(tmp_path), "eval", LABELS)
    clips = list(manifest.clips)
    assert [clip.id for clip in clips] == IDS
    assert [clip.path.name for clip in clips] == ["--PJHxphWEs", "-_1234567_9", "abcdefghijk"]
    assert [(clip.start_s, clip.end_s) for clip in clips] == [(30.0, 40.0), (0.0, 10.0), (5.5, 15.5)]
    assert [[LABELS.ids[label] for label in clip.labels] for clip in clips] == [
        ["/m/09x0r", "/t/dd00088"], ["/m/012xff"], ["/m/0bt9lr"],
    ]  # fmt: skip
    assert manifest.splits() == {"eval": 3}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('x, 1, 2, "/m/09x0"\n', ["row 7", "'labels'", "unknown label '/m/09x0'", "did you mean"]),
        ('x, 2, 2, "/m/09x0r"\n', ["row 7", "'start_s'", "less than"]),
        ('x, , 2, "/m/09x0r"\n', ["row 7", "'start_s'", "empty"]),
        (', 1, 2, "/m/09x0r"\n', ["row 7", "'id'", "empty"]),
        ("x, 1, 2\n", ["row 7", "'labels'", "empty"]),
        ("x, 1, 2, /m/09x0r,/m/0bt9lr\n", ["row 7", "double quotes"]),
        ('abcdefghijk, 5.5, 9, "/m/09x0r"\n', ["row 7", "row 6", "'abcdefghijk_5500'"]),
    ],
)
def test_wrong_rows_are_named(tmp_path, row, words):
    path = write_list(tmp_path, SEGMENTS + row)
    with pytest.raises(ManifestError) as caught:
        read_segments(path, "eval", LABELS)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_wrong_lists_are_named(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_segments(tmp_path / "none.csv", "eval", LABELS)
    with pytest.raises(ManifestError, match="is empty"):
        read_segments(write_list(tmp_path, ""), "eval", LABELS)
    with pytest.raises(ManifestError, match="has 3 cells"):
        read_segments(write_list(tmp_path, "a,b,c\n"), "eval", LABELS)


@pytest.mark.parametrize(
    "name",
    [
        "abcdefghijk.wav", "Yabcdefghijk.wav", "deep/er/abcdefghijk.flac", "abcdefghijk.OGG",
        "abcdefghijk_5.5_15.5.wav", "abcdefghijk_5.500_15.500.wav", "Yabcdefghijk_5500_15500.flac",
        "abcdefghijk_5500.wav", "abcdefghijk_005500.mp3",
    ],
)  # fmt: skip
def test_finds_the_names_people_give(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    found = AudioFolder.scan([tmp_path]).find("abcdefghijk", 5.5, 15.5)
    assert found is not None
    assert found.path == str(tmp_path / name)
    assert found.is_segment == ("_" in name)


def test_prefers_the_segment_asked_for():
    folder = AudioFolder(["k_1_0_10.wav", "k_1_10_20.wav", "k_1.m4a", "k_1.wav", "z/k_1.wav", "k.wav", "notes.txt"])
    expected = {(0, 10): ("k_1_0_10.wav", 1), (10, 20): ("k_1_10_20.wav", 1), (20, 30): ("k_1.wav", 3)}
    for (start_s, end_s), (path, num_files) in expected.items():
        found = folder.find("k_1", start_s, end_s)
        assert found is not None
        assert (found.path, found.num_files) == (path, num_files)
    found = folder.find("k", 1.0, 11.0)
    assert found is not None
    assert found.path == "k_1.wav"  # the segment of `k` that starts at 1 s
    assert folder.find("j", 0.0, 10.0) is None


def test_folders_that_link_to_themselves(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.wav").touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "x.txt").touch()
    assert AudioFolder.scan([tmp_path]).num_files == 1
    with pytest.raises(ManifestError, match="does not exist"):
        AudioFolder.scan([tmp_path / "none"])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_manifest_of_found_and_missing(tmp_path, num_workers):
    audio = tmp_path / "audio"
    write_sound(audio / "Y--PJHxphWEs.wav", 10.0)
    write_sound(audio / "abcdefghijk.flac", 20.0)
    write_sound(audio / "more" / "abcdefghijk.wav", 20.0)
    write_sound(audio / "other.wav", 1.0)
    progress: list[int] = []
    result = import_audioset(
        [(write_list(tmp_path), "eval")], [audio], LABELS, num_workers=num_workers, on_progress=progress.append
    )
    assert (result.num_found, result.num_missing, result.num_recordings, result.num_unlisted) == (2, 1, 1, 2)
    assert result.repeated == ("abcdefghijk_5500",)
    assert sum(progress) == 3
    result.manifest.save(tmp_path / "lists" / "clips.csv")
    manifest = load_manifest(tmp_path / "lists" / "clips.csv", LABELS)
    rows = [(clip.path.resolve(), clip.start_s, clip.end_s) for clip in manifest.clips]
    assert rows == [
        (audio / "Y--PJHxphWEs.wav", None, None),
        (audio / "-_1234567_9.wav", 0.0, 10.0),
        (audio / "abcdefghijk.flac", 5.5, 15.5),
    ]
    report = check_clips(manifest.clips)
    assert [(problem.id, problem.reason) for problem in report.problems] == [("-_1234567_9_0", "missing")]
    part, _ = decode_mono(rows[2][0], start_s=5.5, end_s=15.5)
    assert len(part) == 80000
    assert np.abs(part[:3999]).max() <= 6 / 64
    assert np.abs(part[4000:12000]).max() > 6 / 64


@pytest.mark.parametrize(
    ("duration_s", "holding", "is_part"),
    [
        (10.0, "auto", False), (10.4, "auto", False), (40.0, "auto", True), (32.0, "auto", True), (20.0, "auto", False),
        (40.0, "segment", False), (10.0, "recording", True),
    ],
)  # fmt: skip
def test_what_a_file_holds(tmp_path, duration_s, holding, is_part):
    write_sound(tmp_path / "--PJHxphWEs.wav", duration_s)
    path = write_list(tmp_path, COMMENTS + '--PJHxphWEs, 30.000, 40.000, "/m/09x0r"\n')
    result = import_audioset([(path, "eval")], [tmp_path], LABELS, holding=holding)
    assert result.num_recordings == int(is_part)
    assert (result.manifest.clips[0].start_s, result.manifest.clips[0].end_s) == (
        (30.0, 40.0) if is_part else (None, None)
    )


def test_several_lists_and_folders(tmp_path):
    write_sound(tmp_path / "one" / "--PJHxphWEs.wav", 10.0)
    write_sound(tmp_path / "two" / "abcdefghijk.wav", 10.0)
    first = write_list(tmp_path, COMMENTS + '--PJHxphWEs, 30.000, 40.000, "/m/09x0r"\n', "a.csv")
    second = write_list(tmp_path, COMMENTS + 'abcdefghijk, 5.500, 15.500, "/m/0bt9lr"\n', "b.csv")
    folders = [tmp_path / "one", tmp_path / "two"]
    result = import_audioset([(first, "train"), (second, "eval")], folders, LABELS)
    assert result.num_found == 2
    assert result.manifest.splits() == {"train": 1, "eval": 1}
    with pytest.raises(ManifestError, match=r"b\.csv': clip 'abcdefghijk_5500' is listed before"):
        import_audioset([(first, "train"), (second, "eval"), (second, "eval")], folders, LABELS)
    with pytest.raises(ArgumentError, match="audio_folders"):
        import_audioset([(first, "train")], [], LABELS)


def test_an_unreadable_file_is_left_to_the_check(tmp_path):
    (tmp_path / "abcdefghijk.wav").write_text("404")
    (tmp_path / "--PJHxphWEs.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    result = import_audioset([(write_list(tmp_path), "eval")], [tmp_path], LABELS)
    report = check_clips(result.manifest.clips)
    assert [problem.reason for problem in report.problems] == ["unreadable", "missing", "unreadable"]
