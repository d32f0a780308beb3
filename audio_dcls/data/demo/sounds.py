"""The classes of the demo corpus, the synthesiser of each, and the classes of each clip.

Classes are dealt like cards: a shuffled deck of all classes is used up before the next one is shuffled, so all
classes are about equally frequent, and the first clips do not depend on the number of clips.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.demo import sounds_impacts as impacts
from audio_dcls.data.demo import sounds_sources as sources
from audio_dcls.data.demo import sounds_tones as tones
from audio_dcls.data.demo.signals import Signal
from audio_dcls.labels import LabelSet

SPLITS = ("train", "eval")

_LABEL_COUNT_WEIGHTS = (0.3, 0.35, 0.22, 0.13)
"""Probabilities that a clip holds 1, 2, 3 or 4 classes; 2.2 on average."""


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


@functools.cache
def demo_labels() -> LabelSet:
    """The classes of the corpus, in AudioSet's order, with AudioSet's ids.

    >>> len(demo_labels()), demo_labels().names[0]
    (25, 'Speech')
    """
    return LabelSet.audioset().subset(sound.name for sound in SOUNDS)


def deal_labels(seed: int, split: str, num_clips: int) -> list[tuple[int, ...]]:
    """Draw the class indices of each clip of a split, ascending.

    >>> deal_labels(0, "train", 3) == deal_labels(0, "train", 8)[:3]
    True
    """
    rng = counted_rng(seed, SPLITS.index(split), stream="demo labels")
    deck: list[int] = []
    dealt = []
    for _ in range(num_clips):
        count = 1 + int(rng.choice(len(_LABEL_COUNT_WEIGHTS), p=_LABEL_COUNT_WEIGHTS))
        dealt.append(tuple(sorted(_draw_distinct(deck, count, rng))))
    return dealt


def _draw_distinct(deck: list[int], count: int, rng: np.random.Generator) -> list[int]:
    """Take `count` different cards from the front of the deck; add a shuffled deck at its end if they run out."""
    if len(set(deck)) < count:
        deck.extend(int(card) for card in rng.permutation(len(SOUNDS)))
    hand: list[int] = []
    for card in list(deck):
        if card not in hand:
            hand.append(card)
            deck.remove(card)
        if len(hand) == count:
            break
    return hand
