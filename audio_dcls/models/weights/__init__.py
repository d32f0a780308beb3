"""Trained weights: where they come from, and how they are fitted to a model."""
