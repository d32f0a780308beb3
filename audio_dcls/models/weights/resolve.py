"""From the name of published weights to a file on this machine: fetched and converted where it is missing."""

from __future__ import annotations

from pathlib import Path

import filelock

from audio_dcls.errors import PretrainedError
from audio_dcls.models.conversion import convert_checkpoint
from audio_dcls.models.weights import zenodo
from audio_dcls.models.weights.download import Progress, download
from audio_dcls.models.weights.hub import fetch_checkpoint
from audio_dcls.models.weights.published import DEFAULT_NAME, PUBLISHED, PublishedWeights, find_published, is_on_hub
from audio_dcls.near_names import did_you_mean


def resolve(name: str, *, progress: Progress | None = None, site: str = zenodo.SITE) -> Path:
    """The file of published weights on this machine; it is fetched and converted if it is missing.

    A name such as "hf:owner/name" means a checkpoint on the Hugging Face hub. If several processes need the same
    weights at the same time, one fetches them and the others wait. The file is a checkpoint for `load_checkpoint` or,
    for an image model, the authors' file for `model.pretrained_file`. `site` is the address of Zenodo.

    Raises:
        PretrainedError: the name is unknown, or the weights cannot be fetched.
        CheckpointError: the authors' file is damaged, or does not fit its model.
    """
    if is_on_hub(name):
        return fetch_checkpoint(name)
    weights = find_published(name)
    if weights is None:
        names = [known.name for known in PUBLISHED]
        hint = did_you_mean(name, names, f"there are {', '.join(names)}", min_similarity=0.8)
        raise PretrainedError(f"no weights are published under the name '{name}'; {hint}")
    if weights.path.is_file():
        return weights.path
    weights.path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(weights.path.parent / ".lock"):
        if not weights.download_path.is_file() and not weights.path.is_file():
            _fetch(weights, progress, site)
        if not weights.path.is_file():
            _convert(weights)
    return weights.path


def resolve_tagger(name: str, *, progress: Progress | None = None, site: str = zenodo.SITE) -> Path:
    """Like `resolve`, but only for taggers: a `PretrainedError` refuses the weights of an image model."""
    weights = find_published(name)
    if weights is not None and not weights.is_tagger:
        raise PretrainedError(
            f"the weights '{name}' are of an image model and cannot tag sound; start a training from them: "
            f"model.pretrained=true and model.pretrained_file={name}; or take '{DEFAULT_NAME}'"
        )
    return resolve(name, progress=progress, site=site)


def _fetch(weights: PublishedWeights, progress: Progress | None, site: str) -> None:
    try:
        found = zenodo.look_up(weights.record, weights.file, site)
        target = weights.download_path
        download(found.url, target, num_bytes=found.num_bytes, checksum=found.checksum, progress=progress)
    except PretrainedError as error:
        raise PretrainedError(
            f"the weights '{weights.name}' are not on this machine and cannot be fetched: {error}. Without a network: "
            f"download {weights.url} on a machine that has one, and copy the file to '{weights.download_path}'"
        ) from error


def _convert(weights: PublishedWeights) -> None:
    assert weights.mean_average_precision is not None
    info = {
        "licence": weights.licence,
        "source": weights.page,
        "published": {
            "name": weights.name,
            "trained_on": weights.trained_on,
            "mAP_mean": weights.mean_average_precision,
            "mAP_std": weights.std,
            "num_seeds": 3,
        },
    }
    convert_checkpoint(weights.download_path, weights.path, info=info, name=weights.backbone)
