"""Layers that training puts in the place of timm's."""
