"""Every clip of a manifest decoded once, judged, and reported."""
