"""A checkpoint is itself to the byte, or is refused with the reason; only its own format is read."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from audio_dcls.errors import CheckpointError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference import Tagger
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import check_labels, load_checkpoint, save_checkpoint, store_thresholds
from audio_dcls.models.checkpoint.edit import average_checkpoints, examine_checkpoint, strip_checkpoint
from audio_dcls.models.checkpoint.folders import MODEL_FILE, STATE_FILE
from audio_dcls.models.checkpoint.tensor_file import (
    DIGEST_KEY,
    FORMAT_VERSION,
    METADATA_KEY,
    load_tensors,
    save_tensors,
)
from audio_dcls.models.find_model import find_model
from audio_dcls.runs.run_dir import RunDir

LABELS = LabelSet(("a", "b", "c"), ("Ape", "Bat", "Cat"))
MODEL = ModelConfig(
    name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}, dcls=DclsConfig(kernel_count=5)
)
FRONTEND = FrontendConfig(clip_s=1.5)


def write(path: Path, seed: int = 0, labels: LabelSet = LABELS, model: ModelConfig = MODEL, **info: Any) -> Path:
    torch.manual_seed(seed)
    tagger = build_tagger(model, FRONTEND, len(labels))
    details = {"seed": seed, "step": 7, "metrics": {"mAP": 0.5}, "config": {"data": {"manifests": ["/home/x.csv"]}}}
    save_checkpoint(path, tagger, model_config=model, frontend_config=FRONTEND, labels=labels, info={**details, **info})
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("checkpoint") / "model.safetensors")


def changed(checkpoint: Path, tmp_path: Path, content: bytes | bytearray) -> Path:
    path = tmp_path / "changed.safetensors"
    path.write_bytes(content)
    return path


def header(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON header of a safetensors file (its published format), and the tensors' bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(document: dict[str, Any], tensors: bytes) -> bytes:
    text = json.dumps(document).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def test_the_digest_is_of_the_file_with_zeros_in_its_place(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    stored = header(content)[0]["__metadata__"][DIGEST_KEY]
    assert hashlib.sha256(content.replace(stored.encode(), b"0" * 64)).hexdigest() == stored
    assert safetensors.torch.load(content)  # any safetensors reader reads it


def test_any_flipped_bit_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    rng = np.random.default_rng(0)
    header_end = 8 + struct.unpack("<Q", whole[:8])[0]
    places = [*range(0, 8, 3), *rng.integers(8, header_end, 60), *rng.integers(header_end, len(whole), 60)]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(CheckpointError, match=r"changed\.safetensors"):
            load_checkpoint(changed(checkpoint, tmp_path, content))
    content = bytearray(whole)
    content[-5] ^= 1
    with pytest.raises(CheckpointError, match=r"is not as it was written: its sha256 is .* download it again"):
        load_checkpoint(changed(checkpoint, tmp_path, content))


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(checkpoint: Path, tmp_path: Path, share: float) -> None:
    whole = checkpoint.read_bytes()
    path = changed(checkpoint, tmp_path, whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"is (truncated|empty).*again"):
        load_checkpoint(path)


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["pickle", "torch", "torch_legacy"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_payload_in_a_pickle_does_not_run(tmp_path: Path, form: str, suffix: str) -> None:
    from audio_dcls.models.conversion import convert_checkpoint

    mark, path = tmp_path / "ran", tmp_path / f"evil.{suffix}"
    document = {"model": {"weight": torch.zeros(3)}, "extra": Payload(mark)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(document))
    else:
        torch.save(document, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(CheckpointError, match=r"is a pickle.*nothing in it was run"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="evil"):
        convert_checkpoint(path, tmp_path / "out.safetensors")
    assert not mark.exists()
    torch.load(path, weights_only=False) if form != "pickle" else pickle.loads(path.read_bytes())
    assert mark.exists()  # it would have run


def test_what_is_no_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'.*none' does not exist"):
        load_checkpoint(tmp_path / "none")
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="not an audio_dcls checkpoint"):
        load_checkpoint(tmp_path / "other.safetensors")
    (tmp_path / "page.safetensors").write_text("<html>404: not found, but long enough for a header</html>")
    with pytest.raises(CheckpointError, match=r"page\.safetensors"):
        load_checkpoint(tmp_path / "page.safetensors")
    save_tensors(tmp_path / "state.safetensors", {"x": torch.zeros(2)}, {"kind": "state"})
    with pytest.raises(CheckpointError, match="holds 'state', not a model"):
        load_checkpoint(tmp_path / "state.safetensors")


def test_another_label_order_is_refused_by_its_own_message(checkpoint: Path, tmp_path: Path) -> None:
    turned = LabelSet(("b", "a", "c"), ("Bat", "Ape", "Cat"))
    with pytest.raises(CheckpointError, match=r"in another order: class 0 is 'Ape', there 'Bat'; scores would go"):
        check_labels(LABELS, turned, "x.safetensors", "the manifest")
    with pytest.raises(CheckpointError, match=r"3 classes and the manifest 2; it lacks \['d'\]"):
        check_labels(LABELS, LabelSet(("a", "d"), ("Ape", "Dog")), "x.safetensors", "the manifest")
    assert examine_checkpoint(checkpoint, LABELS) == []
    (fault,) = examine_checkpoint(checkpoint, turned)
    assert "in another order" in fault
    other = write(tmp_path / "turned.safetensors", labels=turned)
    with pytest.raises(CheckpointError, match="in another order"):
        average_checkpoints([checkpoint, other], tmp_path / "average.safetensors")
    assert not (tmp_path / "average.safetensors").exists()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (FORMAT_VERSION + 1, "reads up to 2; upgrade audio-dcls"),
        (1, "has format 1 of an early draft"),
        (0, r"no valid format number \(0\)"),
        ("2", r"no valid format number \('2'\)"),
    ],
)
def test_other_formats_are_refused(checkpoint: Path, tmp_path: Path, version: Any, message: str) -> None:
    document, tensors = header(checkpoint.read_bytes())
    info = json.loads(document["__metadata__"][METADATA_KEY])
    document["__metadata__"] = {METADATA_KEY: json.dumps({**info, "format_version": version})}
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(changed(checkpoint, tmp_path, with_header(document, tensors)))


def test_the_average_is_that_of_every_tensor(checkpoint: Path, tmp_path: Path) -> None:
    paths = [checkpoint, *(write(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2))]
    average_checkpoints(paths, tmp_path / "new" / "average.safetensors")
    states = [load_checkpoint(path).model.state_dict() for path in paths]
    found = load_checkpoint(tmp_path / "new" / "average.safetensors")
    for name, tensor in found.model.state_dict().items():
        values = torch.stack([state[name].double() for state in states])
        expected = values.mean(0) if tensor.is_floating_point() else values[0]
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-6, atol=1e-8)
    assert [source["file"] for source in found.info["averaged_from"]] == [path.name for path in paths]
    assert [source["sha256"] for source in found.info["averaged_from"]] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    ]
    assert found.info["metrics"] is None and found.info["seed"] is None
    assert load_tensors(tmp_path / "new" / "average.safetensors")[1].keys() >= {"model", "labels", "frontend"}
    # What layers share is stored once.
    assert abs((tmp_path / "new" / "average.safetensors").stat().st_size - checkpoint.stat().st_size) < 2000


def test_only_alike_checkpoints_are_averaged(checkpoint: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "plain.safetensors", model=MODEL.model_copy(update={"dcls": None}))
    with pytest.raises(CheckpointError, match=r"`model\.dcls` None"):
        average_checkpoints([checkpoint, other], tmp_path / "x.safetensors")
    softmax = write(tmp_path / "softmax.safetensors", activation="softmax")
    with pytest.raises(CheckpointError, match="another `activation`"):
        average_checkpoints([checkpoint, softmax], tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="two checkpoints or more"):
        average_checkpoints([checkpoint], tmp_path / "x.safetensors")


def test_a_stripped_checkpoint_tags_alike_and_names_no_path(checkpoint: Path, tmp_path: Path) -> None:
    stripped = strip_checkpoint(checkpoint, tmp_path / "stripped.safetensors")
    assert b"/home/x.csv" in checkpoint.read_bytes() and b"/home/x.csv" not in stripped.read_bytes()
    assert load_checkpoint(stripped).info["metrics"] == {"mAP": 0.5}
    sound = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    results = [Tagger.load(path).tag(sound, sample_rate_hz=32_000).windows.scores for path in (checkpoint, stripped)]
    np.testing.assert_array_equal(*results)


def test_numbers_that_are_not_finite_are_found(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tagger = build_tagger(MODEL, FRONTEND, 3)
    next(iter(tagger.parameters())).data[0] = torch.nan
    save_checkpoint(
        tmp_path / "nan.safetensors", tagger, model_config=MODEL, frontend_config=FRONTEND, labels=LABELS, info={}
    )
    (fault,) = examine_checkpoint(tmp_path / "nan.safetensors")
    assert "1 tensors with numbers that are not finite" in fault
    assert "does not exist" in examine_checkpoint(tmp_path / "none")[0]


def test_thresholds_replace_those_before(checkpoint: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(checkpoint.read_bytes())
    store_thresholds(model, [0.25, np.inf, 0.5], split="val", clip_id_hash="abc")
    thresholds = load_checkpoint(model).thresholds
    assert thresholds is not None and thresholds.tolist() == [0.25, np.inf, 0.5]
    with pytest.raises(CheckpointError, match="3 classes, but 2 thresholds were given"):
        store_thresholds(model, [0.1, 0.2], split="val", clip_id_hash="abc")
    for wrong in (np.nan, -np.inf, 1.5, -0.1):
        with pytest.raises(CheckpointError, match="must be between 0 and 1, or infinity"):
            store_thresholds(model, [0.1, wrong, 0.2], split="val", clip_id_hash="abc")
    strip_checkpoint(model, model)  # a run's own file
    assert not examine_checkpoint(model)


def test_a_kill_while_thresholds_are_stored_leaves_an_intact_checkpoint(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(checkpoint.read_bytes())

    def killed(*_paths: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("audio_dcls.files.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            store_thresholds(model, [0.1, 0.2, 0.3], split="val", clip_id_hash="abc")
    assert model.read_bytes() == checkpoint.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_checksums_of_an_earlier_version_are_ignored(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "seed-0" / "checkpoints" / "step-00000001"
    folder.mkdir(parents=True)
    for name in (MODEL_FILE, STATE_FILE):
        (folder / name).write_bytes(checkpoint.read_bytes())
    (folder / "checksums.json").write_text(json.dumps({MODEL_FILE: "0" * 64, STATE_FILE: "0" * 64}))
    run = RunDir(tmp_path / "seed-0")
    assert run.intact_checkpoint() == (folder, [])
    assert find_model(run.path) == folder / MODEL_FILE
    none, problems = run.intact_checkpoint(is_averaged=True)
    assert none is None and "last.safetensors is missing" in problems[0]
