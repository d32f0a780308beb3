"""Writing packs: clips in Parquet shards, in the layout of the Hugging Face `datasets` Audio feature."""
