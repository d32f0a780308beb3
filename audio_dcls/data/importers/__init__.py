"""Importers, which turn known datasets and folders of sounds into manifests."""
