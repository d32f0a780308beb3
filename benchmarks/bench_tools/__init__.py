"""What several benchmark scripts use: peers, commands measured from outside, large manifests, files of results."""
