"""From an upload, or a stream of samples, to tags."""
