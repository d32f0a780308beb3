"""Every entry of the registry names a function that takes its options."""

from __future__ import annotations

import importlib
import inspect

import pytest

from audio_dcls.data.importers.registry import IMPORTERS, Importer


@pytest.mark.parametrize("importer", IMPORTERS, ids=lambda importer: importer.name)
def test_the_function_takes_the_options_with_the_same_defaults(importer: Importer) -> None:
    module, name = importer.function.split(":")
    function = getattr(importlib.import_module(f"audio_dcls.data.importers.{module}"), name)
    folder, *keywords = inspect.signature(function).parameters.values()
    assert folder.name == "folder"
    assert {keyword.name: keyword.default for keyword in keywords} == {
        option.name: option.default for option in importer.options
    }
