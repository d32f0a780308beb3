"""The command line; installed as the package `audio_dcls_cli`."""
