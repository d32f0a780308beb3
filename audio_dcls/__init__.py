"""Audio tagging with dilated convolutions whose spacings are learned (DCLS).

>>> from audio_dcls.dcls import DclsConv2d
>>> from audio_dcls.inference import Tagger
"""
