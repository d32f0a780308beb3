"""The settings of the service: from a YAML file, overridden by the environment, overridden by flags."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from audio_dcls.settings import Settings, build, load_yaml, merge, parse_overrides

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names of models and runs; such a name is never a path."""
_ENVIRONMENT_PREFIX = "AUDIO_DCLS_SERVE_"
"""`AUDIO_DCLS_SERVE_PORT=9000` sets `port: 9000`; values are read as YAML."""

_Count = Annotated[int, pydantic.Field(ge=1)]
_Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
ModelName = Annotated[str, pydantic.Field(pattern=NAME_PATTERN)]


class ServiceSettings(Settings):
    """Settings of `audio-dcls serve`."""

    host: str = "127.0.0.1"
    """Address to listen on. Any address except this machine's own (loopback) needs API keys."""
    port: Annotated[int, pydantic.Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 chooses a free port."""
    state_dir: Path = Path("audio_dcls_service")
    """Folder for the queue, the runs, the models made from them, and the keys; created if it does not exist."""
    keys: Literal["auto", "required", "off"] = "auto"
    """`required`: requests need an API key; `auto`: only if the address is not loopback; `off`: allowed on loopback."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names by which browsers may address a service without keys, in addition to localhost and `host`."""
    cors_origins: tuple[str, ...] = ()
    """Origins of other web sites whose pages may call the service."""

    models: dict[ModelName, str] = pydantic.Field(default_factory=dict)
    """Models by name: a checkpoint file, a run or study folder, an exported graph, or the name of published weights.
    The service also finds the models in STATE_DIR/models."""
    default_model: str | None = None
    """Model for requests that do not name one; by default the first of `models`, or the newest in STATE_DIR/models."""
    preload: bool = True
    """Load the default model at the start; the first request for another model loads that model."""
    max_loaded_models: _Count = 3
    """Models in memory; the least recently used model is unloaded first."""
    device: str = "cpu"
    """The device of the models: cpu, cuda, cuda:1, mps."""
    backend: Literal["torch", "onnx", "openvino"] = "torch"
    """The runtime of the models."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the backbones."""

    batch_windows: _Count = 4
    """Windows computed at once, from one request or several."""
    gather_ms: Annotated[float, pydantic.Field(ge=0, le=1000)] = 4.0
    """Time that a batch waits for windows of other requests."""
    max_requests: _Count = 128
    """Tagging requests in flight; further requests are answered with 503 and Retry-After."""
    timeout_s: _Positive = 60.0
    """Deadline of a request, from its arrival, unless the request names its own."""
    max_timeout_s: _Positive = 600.0
    """Longest deadline that a request may name."""
    max_streams: _Count = 32
    """Open WebSockets at most."""
    stream_idle_s: _Positive = 30.0
    """A WebSocket that sends nothing for this long is closed."""

    max_upload_mb: _Positive = 200.0
    """Longest body of a request with sound, in 10^6 bytes."""
    max_body_kb: _Positive = 256.0
    """Longest body of any other request, in 10^3 bytes."""
    max_batch_files: _Count = 64
    """Sounds in one `POST /v1/tag/batch` at most."""
    upload_timeout_s: _Positive = 60.0
    """A request whose body takes longer to arrive is answered with 408."""
    max_duration_s: _Positive = 900.0
    """Longest sound."""
    max_channels: _Count = 32
    """Channels of a sound at most."""
    decode_workers: _Count = 2
    """Processes that decode uploads."""
    decode_cpu_s: _Positive = 4.0
    """Processor time that decoding a sound may take."""
    decode_wall_s: _Positive = 30.0
    """Elapsed time that decoding a sound may take."""
    decode_memory_mb: _Positive = 1024.0
    """Memory that decoding may take in a worker in addition to the program itself, in 10^6 bytes."""

    training: bool = True
    """Allow clients to start runs over HTTP."""
    data_roots: tuple[str, ...] = ()
    """Folders, or addresses such as s3://bucket/prefix, that the configs of runs may read, in addition to shipped files
    and the demo's corpus."""
    config_dirs: tuple[Path, ...] = ()
    """Folders of configs that runs may name, in addition to the shipped configs."""
    max_running: _Count = 1
    """Runs that are trained at the same time; other runs wait in the queue."""
    engine: Literal["local", "ray"] = "local"
    """The engine of runs: child processes on this machine, or jobs of a Ray cluster that sees the same STATE_DIR."""
    ray_address: str = "auto"
    """Address of the Ray cluster, as for `ray job submit --address`."""
    runs_at_shutdown: Literal["stop", "leave"] = "stop"
    """At an orderly shutdown, `stop` makes the runs write checkpoints, and the next start resumes them; `leave` lets
    their processes continue, and the next start finds them again."""
    shutdown_grace_s: _Positive = 30.0
    """Time that an orderly shutdown waits for requests in flight and for checkpoints."""

    log_format: Literal["json", "text"] = "json"
    """Format of the log lines on standard error."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> ServiceSettings:
        if self.keys == "off" and not self.is_loopback:
            raise ValueError(
                f"`keys` (='off') must not be off where others can reach the service: `host` (={self.host!r}) is not "
                "loopback; leave `keys` out, or listen on 127.0.0.1"
            )
        if self.timeout_s > self.max_timeout_s:
            raise ValueError(
                f"`timeout_s` (={self.timeout_s:g}) must be at most `max_timeout_s` (={self.max_timeout_s:g})"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """True if only programs on this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def needs_keys(self) -> bool:
        """True if every request needs an API key."""
        return self.keys == "required" or (self.keys == "auto" and not self.is_loopback)

    @property
    def keys_path(self) -> Path:
        """The file with the hashes of the API keys."""
        return self.state_dir / "keys.json"

    @property
    def models_dir(self) -> Path:
        """The folder of models made from runs."""
        return self.state_dir / "models"


def load_service_settings(
    file: str | Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> ServiceSettings:
    """The settings from a file, overridden by the environment, overridden by flags.

    Args:
        file: a YAML file, or None.
        flags: values by key; a value of None is ignored.
        environment: variables; by default those of this process.

    Raises:
        ConfigError: a key or a value is wrong.

    >>> load_service_settings(None, {"port": 9000}, {"AUDIO_DCLS_SERVE_PORT": "1"}).port
    9000
    """
    values: dict[str, Any] = {} if file is None else load_yaml(file)
    sources = [] if file is None else [f"'{file}'"]
    variables = os.environ if environment is None else environment
    named = sorted(name for name in variables if name.startswith(_ENVIRONMENT_PREFIX))
    if named:
        assignments = [f"{name.removeprefix(_ENVIRONMENT_PREFIX).lower()}={variables[name]}" for name in named]
        values = merge(values, parse_overrides(assignments))
        sources.append("environment " + ", ".join(named))
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    if given:
        values = merge(values, given)
        sources.append("flags")
    return build(ServiceSettings, values, "settings of the service" + (f" ({'; '.join(sources)})" if sources else ""))
