"""Decoding: sound files, pipes and microphones to mono waveforms."""
