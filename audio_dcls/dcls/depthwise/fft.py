"""Depthwise convolution and its weight gradient by two-dimensional FFTs.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.
"""

from __future__ import annotations

import functools

import torch

_CACHE_BYTES = 4 * 2**20
"""Intended size of the spectra of one block of channels: they are summed before they leave the cache."""


@functools.lru_cache(maxsize=4096)
def _good_fft_size(size: int) -> int:
    """The smallest even number of at least `size` (at least 1) whose only prime factors are 2, 3 and 5.

    >>> _good_fft_size(75), _good_fft_size(31)
    (80, 32)
    """
    candidate = size + size % 2
    while True:
        rest = candidate
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return candidate
        candidate += 2


def weight_gradient_fft(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int]
) -> torch.Tensor:
    r"""`weight_gradient` through the correlation theorem, for float32 or float64.

    .. math:: \partial w = \mathrm{IFFT}\Big(\sum_n \overline{\mathrm{FFT}(\partial y_n)} \cdot \mathrm{FFT}(x_n)\Big)

    at the lags `-padding .. kernel_size - 1 - padding`. The transform has at least `H + padding` rows, the shortest
    length for which these lags are free of wrap-around.

    >>> ones = torch.ones(2, 3, 4, 5)
    >>> weight_gradient_fft(ones, ones, (1, 1), (0, 0)).flatten().round().tolist()
    [40.0, 40.0, 40.0]
    """
    (num_batch, num_channels, height, width), (pad_h, pad_w) = x.shape, padding
    size = _good_fft_size(height + pad_h), _good_fft_size(width + pad_w)
    rows = torch.arange(-pad_h, kernel_size[0] - pad_h, device=x.device) % size[0]
    columns = torch.arange(-pad_w, kernel_size[1] - pad_w, device=x.device) % size[1]
    bytes_per_channel = max(1, num_batch) * size[0] * size[1] * x.element_size() * 2
    block = num_channels if x.is_cuda else max(1, min(num_channels, _CACHE_BYTES // bytes_per_channel))
    result = x.new_empty((num_channels, 1, *kernel_size))
    for first in range(0, num_channels, block):
        channels = slice(first, first + block)
        spectrum = torch.fft.rfft2(x[:, channels], s=size)
        spectrum.mul_(torch.fft.rfft2(grad[:, channels], s=size).conj_physical_())
        lags = torch.fft.irfft2(spectrum.sum(0), s=size)
        result[channels, 0] = lags[:, rows[:, None], columns]
    return result


def convolve_fft(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, int]
) -> torch.Tensor:
    r"""`forward.convolve` through the correlation theorem, summed in float32 or float64.

    .. math:: y_n = \mathrm{IFFT}\big(\mathrm{FFT}(x_n) \cdot \overline{\mathrm{FFT}(w)}\big) + \beta

    >>> convolve_fft(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3), None, (1, 1))[0, 0, 0].round().tolist()
    [4.0, 6.0, 6.0, 4.0]
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    taps = weight.shape[2:]
    size = [_good_fft_size(max(x.shape[2 + d] + padding[d], taps[d])) for d in range(2)]
    rows, columns = (
        torch.arange(-padding[d], x.shape[2 + d] + padding[d] - taps[d] + 1, device=x.device) % size[d]
        for d in range(2)
    )
    spectrum = torch.fft.rfft2(x.to(dtype), s=size)
    spectrum.mul_(torch.fft.rfft2(weight[:, 0].to(dtype), s=size).conj_physical_())
    result = torch.fft.irfft2(spectrum, s=size)[:, :, rows[:, None], columns]
    return (result if bias is None else result + bias[:, None, None].to(dtype)).to(x.dtype)
