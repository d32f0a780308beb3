"""Clips as training samples, and the loaders that batch them."""
