"""The catalogue of weights that the authors published, and where their files are on this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from audio_dcls.files import cache_folder
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.weights import zenodo
from audio_dcls.near_names import near_names

HUB_PREFIX = "hf:"
"""Beginning of the names of checkpoints on the Hugging Face hub: hf:owner/name or hf:owner/name@revision."""

DEFAULT_NAME = "convnext_tiny-dcls"
"""The best published tagger, which `audio-dcls tag` offers to users without a model."""


@dataclass(frozen=True)
class PublishedWeights:
    """One published file of the authors.

    Attributes:
        name: its name here: timm's name of the backbone, with -dcls if it is swapped.
        file: its name in its Zenodo record, whose number is `record`.
        num_parameters: parameters of the model; shared parameters count once.
        mean_average_precision: on AudioSet's evaluation clips, 0 to 1, mean over three seeds (arXiv 2309.13972); None
            for an image model. `std` is its standard deviation over the seeds.
        licence: the licence of the authors' repository.
    """

    name: str
    backbone: str
    file: str
    num_parameters: int
    mean_average_precision: float | None = None
    std: float | None = None
    trained_on: str = "AudioSet-2M"
    num_classes: int = 527
    record: int = 8370979
    licence: str = "MIT"

    @property
    def is_tagger(self) -> bool:
        """True for a tagger; image models are for `model.pretrained_file`."""
        return self.mean_average_precision is not None

    @property
    def page(self) -> str:
        """Address of the page of its record."""
        return f"{zenodo.SITE}/records/{self.record}"

    @property
    def url(self) -> str:
        """Address of the file."""
        return zenodo.file_url(self.record, self.file)

    @property
    def download_path(self) -> Path:
        """Path of the downloaded file, or of a copy made by hand."""
        return weights_folder() / str(self.record) / self.file

    @property
    def path(self) -> Path:
        """Path of the file that is used: a checkpoint of this program for a tagger, or else the downloaded file."""
        return weights_folder() / self.name / MODEL_FILE if self.is_tagger else self.download_path

    @property
    def is_cached(self) -> bool:
        """True if it can be used without the network."""
        return self.path.is_file() or self.download_path.is_file()

    def to_json_dict(self) -> dict[str, Any]:
        """All facts as plain values; `cached` and `num_bytes` are None if the file is not on this machine."""
        here = self.path if self.path.is_file() else None
        return asdict(self) | {
            "kind": "tagger" if self.is_tagger else "backbone",
            "url": self.url,
            "cached": None if here is None else str(here),
            "num_bytes": None if here is None else here.stat().st_size,
        }


PUBLISHED = (
    # name, backbone, file, num_parameters, mean_average_precision, std
    PublishedWeights("convnext_tiny-dcls", "convnext_tiny", "convnext_dcls_audio_tiny.pth", 28_221_263, 0.4552, 0.0005),
    PublishedWeights("fastvit_sa24-dcls", "fastvit_sa24", "fastvit_dcls_audio_sa24.pth", 21_016_655, 0.4440, 0.0007),
    PublishedWeights(
        "convformer_s18-dcls", "convformer_s18", "convformer_dcls_audio_s18.pth", 25_781_207, 0.4368, 0.0002
    ),
    PublishedWeights("convformer_s18", "convformer_s18", "convformer_audio_s18.pth", 25_797_847, 0.4314, 0.0003),
    PublishedWeights(
        "convnext_tiny-dcls-imagenet",
        "convnext_tiny",
        "convnext_dcls_gauss_tiny_1k_224_ema.pth",
        28_586_536,
        trained_on="ImageNet-1k",
        num_classes=1000,
        record=8029747,
    ),
)


def find_published(name: str | Path) -> PublishedWeights | None:
    """The published weights of that name; None for an unknown name.

    >>> find_published("convnext_tiny-dcls").file, find_published("resnet50")
    ('convnext_dcls_audio_tiny.pth', None)
    """
    return next((weights for weights in PUBLISHED if weights.name == str(name)), None)


def nearest_name(name: str) -> str | None:
    """The name of published weights that is most similar to another name; None if no name is similar.

    >>> nearest_name("convnext_tiny_dcls"), nearest_name("runs/demo")
    ('convnext_tiny-dcls', None)
    """
    return next(iter(near_names(name, [weights.name for weights in PUBLISHED], min_similarity=0.8)), None)


def is_on_hub(name: str | Path) -> bool:
    """Return whether a name means a checkpoint on the Hugging Face hub.

    >>> is_on_hub("hf:owner/name"), is_on_hub("runs/demo")
    (True, False)
    """
    return str(name).startswith(HUB_PREFIX)


def is_published_name(name: str | Path) -> bool:
    """Return whether `resolve` accepts a name. If a path of that name exists, use the path instead."""
    return find_published(name) is not None or is_on_hub(name)


def weights_folder() -> Path:
    """The folder of fetched weights on this machine."""
    return cache_folder() / "weights"
