"""LogMel against librosa, torchaudio and closed forms."""

import copy
import math
import pickle

import librosa
import numpy as np
import pytest
import torch

from audio_dcls.errors import ArgumentError, ConfigError
from audio_dcls.frontend import FrontendConfig, LogMel, build_frontend
from audio_dcls.settings import build

MEAN_DB, STD_DB = -18.2696, 30.5735
DEFAULTS = FrontendConfig().model_dump(exclude={"clip_s"})


def decibels(normalised: torch.Tensor) -> torch.Tensor:
    return normalised[:, 0] * STD_DB + MEAN_DB


def noisy_clips(num_clips: int, num_samples: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    loudness = torch.logspace(0, -3, num_clips, dtype=torch.float64)[:, None]
    return loudness * torch.randn(num_clips, num_samples, generator=generator, dtype=torch.float64)


def sine(frequency_hz: float, num_samples: int = 64_000, amplitude: float = 1.0) -> torch.Tensor:
    time_s = torch.arange(num_samples, dtype=torch.float64) / 32_000
    return amplitude * torch.sin(2 * math.pi * frequency_hz * time_s)[None]


def test_a_clip_has_the_shape_of_the_recipe() -> None:
    config = FrontendConfig()
    assert build_frontend(config)(torch.zeros(1, config.clip_samples)).shape == (1, 1, 128, config.num_frames)
    assert (config.num_bins, config.num_frames) == (513, 1001)


@pytest.mark.parametrize("num_samples", [320_000, 33_333, 513])
def test_equals_librosa_in_float64(num_samples: int) -> None:
    clips = noisy_clips(2, num_samples)
    options = {"n_fft": 1024, "hop_length": 320, "n_mels": 128, "fmin": 50, "fmax": 14_000, "htk": True, "norm": None}
    power = librosa.feature.melspectrogram(y=clips.numpy(), sr=32_000, pad_mode="reflect", dtype=np.float64, **options)
    expected = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None)
    # the same formulae in float64: only the order of the sums differs, 1e-9 dB is a thousand roundings
    np.testing.assert_allclose(decibels(build_frontend().double()(clips)), expected, atol=1e-9)


def test_equals_torchaudio_in_float32() -> None:
    torchaudio = pytest.importorskip("torchaudio")
    transform = torchaudio.transforms.MelSpectrogram(
        32_000, n_fft=1024, hop_length=320, n_mels=128, f_min=50.0, f_max=14_000.0
    )
    clips = noisy_clips(2, 64_000).float()
    expected = torchaudio.transforms.AmplitudeToDB("power")(transform(clips))
    # float32 mel edges on their side (slopes off by 1e-5, at a filter's foot that is 1e-3 of its weight)
    torch.testing.assert_close(decibels(build_frontend()(clips)), expected, atol=1e-3, rtol=0)


def test_float32_is_close_to_float64() -> None:
    clips = noisy_clips(2, 320_000)
    exact = build_frontend().double()(clips)
    # a float32 transform of 1024 samples is good to 1e-6 of the loudest bin: 1e-3 dB in a band 30 dB below it
    torch.testing.assert_close(build_frontend()(clips.float()).double() * STD_DB, exact * STD_DB, atol=2e-3, rtol=0)


def test_silence_is_the_floor() -> None:
    output = build_frontend().double()(torch.zeros(1, 32_000, dtype=torch.float64))
    torch.testing.assert_close(output, torch.full_like(output, (-100.0 - MEAN_DB) / STD_DB))


@pytest.mark.parametrize("amplitude", [1.0, 0.01])
def test_a_sine_on_a_bin_has_the_level_of_its_closed_form(amplitude: float) -> None:
    frontend = build_frontend().double()
    bin_index = 64  # 2000 Hz at 31.25 Hz a bin
    output = decibels(frontend(sine(bin_index * 31.25, amplitude=amplitude)))[0, :, 20:-20]
    # a periodic Hann window of 1024 sums to 512: |X| is 256 A on the sine's bin, 128 A on its two neighbours
    used = bin_index - frontend.used_bins.start
    power = torch.tensor([128.0, 256.0, 128.0], dtype=torch.float64).square() * amplitude**2
    expected = 10 * torch.log10((frontend.bank[:, used - 1 : used + 2] @ power).clamp(min=1e-10))
    loud = expected > -60  # elsewhere leakage of 1e-16 decides
    torch.testing.assert_close(output[loud], expected[loud, None].expand(-1, output.shape[1]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("frequency_hz", [100.0, 440.0, 1_000.0, 5_000.0, 13_000.0])
def test_a_tone_is_loudest_in_its_band(frequency_hz: float) -> None:
    edges = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + np.array([50, 14_000]) / 700)), 130) / 2595) - 1)
    loudest = int(build_frontend()(sine(frequency_hz).float())[0, 0, :, 50].argmax())
    assert edges[loudest] <= frequency_hz <= edges[loudest + 2]


def test_ten_times_the_amplitude_is_twenty_decibels() -> None:
    clips = noisy_clips(1, 32_000)
    frontend = build_frontend().double()
    torch.testing.assert_close(decibels(frontend(10 * clips)), decibels(frontend(clips)) + 20)


def test_a_delay_of_one_hop_shifts_one_frame() -> None:
    clips = noisy_clips(1, 32_000)
    frontend = build_frontend().double()
    shifted = frontend(clips[:, 320:])
    torch.testing.assert_close(shifted[..., 4:90], frontend(clips)[..., 5:91])


def test_forward_is_its_two_halves() -> None:
    clips = noisy_clips(3, 40_000)
    frontend = build_frontend().double()
    power = frontend.power_spectrogram(clips)
    assert power.shape == (3, 513, 126)
    torch.testing.assert_close(frontend.normalised_mel(power), frontend(clips), atol=1e-12, rtol=0)


def test_batched_and_clip_by_clip_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = noisy_clips(3, 40_000).float()
    one_by_one = build_frontend()(clips)
    monkeypatch.setattr("audio_dcls.frontend.mel._is_traced", lambda: True)
    torch.testing.assert_close(build_frontend()(clips), one_by_one)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_casting_leave_float32(dtype: torch.dtype) -> None:
    clips = noisy_clips(2, 32_000).float()
    expected = build_frontend()(clips)
    with torch.autocast("cpu", dtype=dtype):
        torch.testing.assert_close(build_frontend()(clips), expected)
        torch.testing.assert_close(build_frontend().normalised_mel(build_frontend().power_spectrogram(clips)), expected)
    torch.testing.assert_close(build_frontend().to(dtype)(clips), expected)


def test_double_is_exact_not_widened() -> None:
    window = build_frontend().double().window
    torch.testing.assert_close(window, torch.hann_window(1024, dtype=torch.float64), atol=1e-15, rtol=0)


def test_buffers_survive_meta_copy_and_pickle_and_are_not_saved() -> None:
    frontend = build_frontend()
    clips = noisy_clips(1, 2_000).float()
    expected = frontend(clips)
    revived = build_frontend().to("meta").to_empty(device="cpu")
    for twin in (revived, copy.deepcopy(frontend), pickle.loads(pickle.dumps(frontend))):
        torch.testing.assert_close(twin(clips), expected)
    assert not frontend.state_dict() and not list(frontend.parameters())


def test_gradients_reach_the_waveform() -> None:
    frontend = LogMel(**DEFAULTS | {"fft_size": 16, "hop_samples": 5, "num_mels": 3, "low_hz": 100.0}).double()
    clips = noisy_clips(2, 40).requires_grad_()
    assert torch.autograd.gradcheck(frontend, clips)


@pytest.mark.parametrize(
    "waveforms",
    [torch.zeros(32_000), torch.zeros(1, 1, 32_000), torch.zeros(1, 32_000, dtype=torch.int16), torch.zeros(2, 512)],
    ids=["no batch axis", "channels", "integers", "too short"],
)
def test_wrong_waveforms_are_refused(waveforms: torch.Tensor) -> None:
    for method in (build_frontend().forward, build_frontend().power_spectrogram):
        with pytest.raises(ArgumentError, match="`waveforms`"):
            method(waveforms)


def test_wrong_power_is_refused() -> None:
    with pytest.raises(ArgumentError, match="513"):
        build_frontend().normalised_mel(torch.zeros(1, 512, 10))


@pytest.mark.parametrize(
    "keywords",
    [{"fft_size": 1}, {"hop_samples": 0}, {"std_db": 0.0}, {"amin": -1.0}, {"num_mels": 0}, {"high_hz": 17e3}],
)
def test_bad_numbers_are_refused(keywords: dict) -> None:
    with pytest.raises(ArgumentError, match=f"`{next(iter(keywords))}`"):
        LogMel(**DEFAULTS | keywords)


@pytest.mark.parametrize("values", [{"high_hz": 20_000}, {"clip_s": 0.01}, {"num_mels": 0}, {"hop": 3}])
def test_bad_configs_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(FrontendConfig, values, "test")
