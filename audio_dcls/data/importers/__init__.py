"""Known datasets, and folders of sounds, turned into manifests."""
