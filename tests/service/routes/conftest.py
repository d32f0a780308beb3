"""The fixtures of runs, for the tests of their routes."""

from __future__ import annotations

from tests.service.runs.conftest import make_service, service, state_dir

__all__ = ["make_service", "service", "state_dir"]
