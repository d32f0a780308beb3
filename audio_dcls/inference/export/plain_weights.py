"""Write the weights of a tagger under timm's names, with the kernels of its DCLS layers built."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from audio_dcls.dcls import freeze
from audio_dcls.files import write_atomically
from audio_dcls.inference.backends.graph_info import METADATA_KEY, GraphInfo
from audio_dcls.inference.export.export_format import ExportFormat, ExportOptions, WrittenModel
from audio_dcls.inference.export.graph_card import describe
from audio_dcls.models.activation import activate
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint


def _write(loaded: LoadedCheckpoint, path: Path, _: ExportOptions) -> WrittenModel:
    info = describe(loaded)
    frozen: Any = freeze(copy.deepcopy(loaded.model).cpu().float().eval())
    tensors = {name: tensor.detach().contiguous() for name, tensor in frozen.backbone.state_dict().items()}
    write_atomically(path, safetensors.torch.save(tensors, metadata={METADATA_KEY: info.to_json()}))
    with torch.no_grad():
        for parameter in frozen.parameters():
            parameter.zero_()
    frozen.backbone.load_state_dict(safetensors.torch.load_file(path))

    def run(windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return activate(frozen(torch.from_numpy(windows.copy())), info.activation).numpy()

    return WrittenModel(info, run)


def _usage(_: GraphInfo) -> str:
    return (
        "Weights of the backbone under timm's names. The kernels of DCLS layers are built, so a plain convolution of "
        "their size can load them. Classes, spectrogram and configs are stored as JSON under "
        f"`{METADATA_KEY}` in the file's metadata."
    )


SAFETENSORS = ExportFormat("safetensors", ".safetensors", _write, _usage)
