"""The fixtures of the tests of the service, for tests across its modules."""

from __future__ import annotations

from tests.service.conftest import client, model_path, settings_of, start
from tests.service.runs.conftest import make_service, service, state_dir

__all__ = ["client", "make_service", "model_path", "service", "settings_of", "start", "state_dir"]
