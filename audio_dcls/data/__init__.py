"""From files on disk to batches: manifests, decoding, checking, augmentation, loading.

What is here is imported when it is first used (the names stand in `__init__.pyi`), so that tagging a file does not wait
for pandas.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
