"""Tagging and training over HTTP (the extra `[serve]`): `audio-dcls serve` runs the service, `client` calls it."""
