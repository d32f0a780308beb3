"""The service's settings come from a file, the environment and flags, and must fit together."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_dcls.errors import ConfigError
from audio_dcls.service.settings import ServiceSettings, load_service_settings


def test_keys_cannot_be_off_where_others_can_come() -> None:
    with pytest.raises(ConfigError, match=r"`keys` \(='off'\)"):
        load_service_settings(None, {"host": "0.0.0.0", "keys": "off"}, {})
    assert not ServiceSettings(host="::1").needs_keys
    assert not ServiceSettings(host="127.8.9.1").needs_keys
    assert ServiceSettings(host="my-box.local").needs_keys
    assert ServiceSettings(keys="required").needs_keys


def test_settings_come_from_file_environment_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("port: 1\nmax_upload_mb: 7\nmodels:\n  birds: birds.safetensors\n")
    found = load_service_settings(
        file, {"port": 3, "host": None}, {"AUDIO_DCLS_SERVE_PORT": "2", "AUDIO_DCLS_SERVE_MAX_REQUESTS": "9"}
    )
    assert (found.port, found.max_upload_mb, found.max_requests, found.host) == (3, 7.0, 9, "127.0.0.1")
    assert found.models == {"birds": "birds.safetensors"}
    with pytest.raises(ConfigError, match=r"unknown key 'max_uplod_mb'; did you mean 'max_upload_mb'\?"):
        load_service_settings(None, None, {"AUDIO_DCLS_SERVE_MAX_UPLOD_MB": "1"})
