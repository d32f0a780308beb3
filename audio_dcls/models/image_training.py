"""Run a training script with the image models and optimisers registered:

    python -m audio_dcls.models.image_training train.py IMAGES --model convnext_tiny_dcls_gauss --opt dclsadamw ...

where train.py is timm's, from its repository at the version that is installed. Under torchrun: `torchrun ... -m
audio_dcls.models.image_training train.py ...`.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from audio_dcls.errors import ArgumentError


def run_script(arguments: Sequence[str]) -> None:
    """Run a script with its arguments as the main program, after registering the models of `image_models`."""
    import audio_dcls.models.image_models  # noqa: F401

    if not arguments or not Path(arguments[0]).is_file():
        found = f"there is no training script '{arguments[0]}'" if arguments else "no training script is named"
        raise ArgumentError(f"{found}; give one first, such as timm's train.py, which is only in its repository")
    sys.argv = list(arguments)
    sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    try:
        run_script(sys.argv[1:])
    except ArgumentError as error:
        sys.exit(f"error: {error}")
