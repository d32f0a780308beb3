"""The formats of `audio-dcls export`: one entry each, in the order of `audio_dcls.choices.ExportFormat`."""

from audio_dcls.inference.export.export_format import ExportFormat
from audio_dcls.inference.export.onnx_graph import ONNX
from audio_dcls.inference.export.openvino_graph import OPENVINO
from audio_dcls.inference.export.plain_weights import SAFETENSORS
from audio_dcls.inference.export.torch_program import TORCH_EXPORT

FORMATS: dict[str, ExportFormat] = {entry.name: entry for entry in (ONNX, OPENVINO, TORCH_EXPORT, SAFETENSORS)}
