"""Published weights: the catalogue, the download, and the conversion into checkpoints."""
