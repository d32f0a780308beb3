"""The report of `audio-dcls inspect`: its page and its chapters."""
