"""Tools of the benchmark scripts: other taggers, measured commands, large manifests, and files of results."""
