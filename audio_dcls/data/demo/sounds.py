"""The classes of the demo corpus, and the synthesiser of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from audio_dcls.data.demo import sounds_impacts as impacts
from audio_dcls.data.demo import sounds_sources as sources
from audio_dcls.data.demo import sounds_tones as tones
from audio_dcls.data.demo.signals import Signal


class Sound(NamedTuple):
    """One class of the corpus."""

    name: str
    """AudioSet's display name; the id comes from the label set."""
    synthesise: Callable[[np.random.Generator, int], Signal]
    """(rng, num_samples) -> signal (T,) at the world's rate; any level, the sound starts at sample 0."""


SOUNDS = (
    Sound("Speech", sources.speech),
    Sound("Clapping", impacts.clapping),
    Sound("Heart sounds, heartbeat", impacts.heartbeat),
    Sound("Bell", impacts.bell),
    Sound("Wind", sources.wind),
    Sound("Rain", sources.rain),
    Sound("Reversing beeps", tones.reversing_beeps),
    Sound("Engine", sources.engine),
    Sound("Knock", impacts.knock),
    Sound("Typing", impacts.typing),
    Sound("Telephone dialing, DTMF", tones.dtmf),
    Sound("Dial tone", tones.dial_tone),
    Sound("Busy signal", tones.busy_signal),
    Sound("Siren", tones.siren),
    Sound("Buzzer", tones.buzzer),
    Sound("Whistle", sources.whistle),
    Sound("Tick", impacts.tick),
    Sound("Tick-tock", impacts.tick_tock),
    Sound("Drip", impacts.drip),
    Sound("Beep, bleep", tones.beep),
    Sound("Sine wave", tones.sine_wave),
    Sound("Chirp tone", tones.chirp_tone),
    Sound("Mains hum", tones.mains_hum),
    Sound("White noise", sources.white_noise),
    Sound("Pink noise", sources.pink_noise),
)
"""All classes in AudioSet's order, the order of the corpus's class indices."""
