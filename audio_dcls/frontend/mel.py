"""The module that turns waveforms into normalised log-mel spectrograms.

Axes: B batch, T samples, N frequency bins, M mels, F frames (F = T // hop + 1).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend.config import FrontendConfig
from audio_dcls.frontend.filter_bank import mel_filter_bank


class LogMel(nn.Module):
    """Normalised log-mel spectrogram of waveforms.

    With X the short-time Fourier transform under a periodic Hann window, centred, edges reflected, and W the mel
    filters: y = (10 log10(max(W |X|^2, amin)) - mean_db) / std_db.

    The arithmetic is float32, also under autocast and in a model that is cast to another type, and float64 after
    `.double()` (window and filters are then exact in float64, not converted). In evaluation mode on a CPU, `forward`
    always transforms in float64: the rounding errors of a float32 transform of a loud sound are as high as `amin`, so
    silent bands, such as those above the range of a low sample rate, would show noise that depends on the FFT library.
    This costs a few milliseconds per clip. Nothing here is trained or saved.

    Args:
        sample_rate_hz, fft_size, hop_samples, num_mels, low_hz, high_hz, amin, mean_db, std_db: as in `FrontendConfig`,
            which has the defaults.

    Shape:
        (B, T) -> (B, 1, M, F).

    Raises:
        ArgumentError: a number is outside its range.

    >>> build_frontend()(torch.zeros(2, 32000)).shape
    torch.Size([2, 1, 128, 101])
    """

    window: Tensor
    bank: Tensor

    def __init__(
        self,
        *,
        sample_rate_hz: int,
        fft_size: int,
        hop_samples: int,
        num_mels: int,
        low_hz: float,
        high_hz: float,
        amin: float,
        mean_db: float,
        std_db: float,
    ) -> None:
        super().__init__()
        if fft_size < 2:
            raise ArgumentError(f"`fft_size` (={fft_size}) must be at least 2 samples")
        for name, value in (("hop_samples", hop_samples), ("amin", amin), ("std_db", std_db)):
            if not value > 0:
                raise ArgumentError(f"`{name}` (={value}) must be above 0")
        self.sample_rate_hz = sample_rate_hz
        self.fft_size = fft_size
        self.hop_samples = hop_samples
        self.num_mels = num_mels
        self.num_bins = fft_size // 2 + 1
        self.amin = amin
        self.mean_db = mean_db
        self.std_db = std_db
        bank = mel_filter_bank(self.num_bins, num_mels, low_hz, high_hz, sample_rate_hz)
        used = np.flatnonzero(bank.any(axis=1))
        self.used_bins = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)
        self._exact_bank = np.ascontiguousarray(bank[self.used_bins].T)
        self._exact_window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(fft_size) / fft_size)
        self.register_buffer("window", torch.from_numpy(self._exact_window).float(), persistent=False)
        self.register_buffer("bank", torch.from_numpy(self._exact_bank).float(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LogMel:
        """Follow device moves and `.double()` with the exact values, and never go below float32."""
        super()._apply(fn, recurse)
        dtype = torch.float64 if self.window.dtype == torch.float64 else torch.float32
        self.window = torch.from_numpy(self._exact_window).to(self.window.device, dtype)
        self.bank = torch.from_numpy(self._exact_bank).to(self.bank.device, dtype)
        return self

    def extra_repr(self) -> str:
        """The sizes, for `repr`."""
        return f"fft_size={self.fft_size}, hop_samples={self.hop_samples}, num_mels={self.num_mels}"

    def power_spectrogram(self, waveforms: Tensor) -> Tensor:
        """Squared magnitude of the short-time Fourier transform: linear, with every bin; random erasing changes it.

        Args:
            waveforms: floating point, nominally in [-1, 1].

        Shape:
            (B, T) -> (B, N, F).

        Raises:
            ArgumentError: `waveforms` is not a batch of real waveforms, or is too short to reflect its edges.
        """
        with _full_precision(waveforms.device):
            return _square_magnitude(self._transform(waveforms, self.window))

    def normalised_mel(self, power: Tensor) -> Tensor:
        """Mel bands of a power spectrogram, in decibels, normalised.

        Shape:
            (B, N, F) -> (B, 1, M, F).

        Raises:
            ArgumentError: `power` is not (B, N, F).
        """
        if power.ndim != 3 or power.shape[1] != self.num_bins:
            raise ArgumentError(
                f"`power` (shape {tuple(power.shape)}) must be (batch, {self.num_bins}, frames), "
                "as power_spectrogram returns it"
            )
        with _full_precision(power.device):
            return self._normalise(power[:, self.used_bins].to(self.bank.dtype))

    def forward(self, waveforms: Tensor) -> Tensor:
        """`normalised_mel(power_spectrogram(waveforms))`, without the bins that no mel band uses.

        On a CPU the clips of a batch are computed one by one, which keeps each in the cache and is faster.
        """
        with _full_precision(waveforms.device):
            if waveforms.device.type == "cpu" and waveforms.ndim == 2 and len(waveforms) > 1 and not _is_traced():
                return torch.cat([self._mel_of(clip) for clip in waveforms.split(1)])
            return self._mel_of(waveforms)

    def exact_window(self) -> Tensor:
        """The window in float64: (fft_size,)."""
        return torch.from_numpy(self._exact_window)

    def windowed_mel(self, waveforms: Tensor, window: Tensor) -> Tensor:
        """The output of `forward`, with the transform in the precision of a given window.

        Shape:
            (B, T), (fft_size,) -> (B, 1, M, F).
        """
        power = _square_magnitude(self._transform(waveforms, window)[:, self.used_bins])
        return self._normalise(power.to(self.bank.dtype))

    def _mel_of(self, waveforms: Tensor) -> Tensor:
        is_exact = not self.training and waveforms.device.type == "cpu"
        return self.windowed_mel(waveforms, self.exact_window() if is_exact else self.window)

    def _transform(self, waveforms: Tensor, window: Tensor) -> Tensor:
        if waveforms.ndim != 2 or not waveforms.is_floating_point():
            raise ArgumentError(
                f"`waveforms` (shape {tuple(waveforms.shape)}, {waveforms.dtype}) must be a floating-point batch "
                "(batch, samples); add a batch axis with waveforms[None] and scale integers to [-1, 1]"
            )
        if waveforms.shape[1] <= self.fft_size // 2:
            raise ArgumentError(
                f"`waveforms` (shape {tuple(waveforms.shape)}) must hold more than fft_size / 2 = {self.fft_size // 2} "
                "samples to reflect the edges; pad shorter sounds with zeros"
            )
        return torch.stft(
            waveforms.to(window.dtype),
            n_fft=self.fft_size,
            hop_length=self.hop_samples,
            window=window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )

    def _normalise(self, used_power: Tensor) -> Tensor:
        mel = torch.matmul(self.bank, used_power)
        return normalised_decibels(mel, self.amin, self.mean_db, self.std_db).unsqueeze(1)


def normalised_decibels(power: Tensor, amin: float, mean_db: float, std_db: float) -> Tensor:
    """Power in normalised decibels, elementwise: (10 log10(max(power, amin)) - mean_db) / std_db."""
    return power.clamp(min=amin).log10() * (10.0 / std_db) - mean_db / std_db


def _square_magnitude(spectrum: Tensor) -> Tensor:
    return torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)


def _full_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    if device.type == "meta":
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()


def build_frontend(config: FrontendConfig | None = None) -> LogMel:
    """The frontend of a config, by default that of `FrontendConfig()`.

    >>> build_frontend(FrontendConfig(num_mels=64)).num_mels
    64
    """
    numbers = (config or FrontendConfig()).model_dump(exclude={"clip_s"})
    return LogMel(**numbers)
