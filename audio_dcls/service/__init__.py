"""Tagging and training over HTTP (the extra `[serve]`); `audio-dcls serve` runs it, `client` talks to it."""
