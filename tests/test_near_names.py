"""Suggestions come best first, and only where a known name is similar."""

from __future__ import annotations

from audio_dcls.near_names import did_you_mean, near_names


def test_the_most_similar_names_come_first() -> None:
    assert near_names("dog bark", ["dog barks", "dog barking", "cat"], limit=2) == ["dog barks", "dog barking"]
    assert near_names("dog bark", ["cat"]) == []


def test_the_similarity_that_a_suggestion_needs_can_be_raised() -> None:
    assert did_you_mean("hop", ["hops"], "see the list") == "did you mean 'hops'?"
    assert did_you_mean("hop", ["hops"], "see the list", min_similarity=0.9) == "see the list"
