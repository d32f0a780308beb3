"""`python -m audio_dcls_cli`."""

from audio_dcls_cli.main import run

run()
