"""From files on disk to batches: manifests, decoding, checking, augmentation, loading.

Each name is imported on first use (`__init__.pyi` lists them), so that tagging a file does not wait for pandas.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
