"""Every number of the service, from a YAML file, the environment and flags; later ones win."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from audio_dcls.settings import Settings, build, load_yaml, merge, parse_overrides

ENVIRONMENT_PREFIX = "AUDIO_DCLS_SERVE_"
"""`AUDIO_DCLS_SERVE_PORT=9000` is `port: 9000`; values are read as YAML."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names of models and runs; nothing that could be a path."""

Count = Annotated[int, pydantic.Field(ge=1)]
Seconds = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
ModelName = Annotated[str, pydantic.Field(pattern=NAME_PATTERN)]


class ServiceSettings(Settings):
    """Settings of `audio-dcls serve`."""

    host: str = "127.0.0.1"
    """Address to listen on. Any other than this machine's own (loopback) needs API keys."""
    port: Annotated[int, pydantic.Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    state_dir: Path = Path("audio_dcls_service")
    """Folder of the queue, the runs, the models made of them, the keys; made if it is not there."""
    keys: Literal["auto", "required", "off"] = "auto"
    """Whether requests need an API key: `auto` where the address is not loopback; `off` is refused there."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names by which browsers may address a service without keys, beside localhost and `host`."""
    cors_origins: tuple[str, ...] = ()
    """Origins of other web pages that may call the service; none by default."""

    models: dict[ModelName, str] = pydantic.Field(default_factory=dict)
    """Models by name: a checkpoint file, a run or study folder, an exported graph, or a name of published weights.
    Those in STATE_DIR/models are found by themselves."""
    default_model: str | None = None
    """Model of requests that name none; by default the first of `models`, or the newest in STATE_DIR/models."""
    preload: bool = True
    """Load the default model at the start; others load when they are first asked for."""
    max_loaded_models: Count = 3
    """Models in memory; the one not used for longest goes first."""
    device: str = "cpu"
    """Where models compute: cpu, cuda, cuda:1, mps."""
    backend: Literal["torch", "onnx", "openvino"] = "torch"
    """What computes."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the backbones."""

    batch_windows: Count = 4
    """Windows computed at once, of one or of several requests."""
    gather_ms: Annotated[float, pydantic.Field(ge=0, le=1000)] = 4.0
    """How long a batch that is not full waits for windows of other requests."""
    max_requests: Count = 128
    """Tagging requests between arrival and answer; one more is answered 503 with Retry-After."""
    timeout_s: Seconds = 60.0
    """Deadline of a request that names none, from its arrival."""
    max_timeout_s: Seconds = 600.0
    """Longest deadline a request may name."""
    max_streams: Count = 32
    """Open WebSockets."""
    stream_idle_s: Seconds = 30.0
    """A WebSocket that sends nothing for this long is closed."""

    max_upload_mb: Seconds = 200.0
    """Most 10^6 bytes of a request that carries sound."""
    max_body_kb: Seconds = 256.0
    """Most 10^3 bytes of any other request."""
    max_batch_files: Count = 64
    """Sounds of one `POST /v1/tag/batch`."""
    upload_timeout_s: Seconds = 60.0
    """A request whose body is not here by then is answered 408."""
    max_duration_s: Seconds = 900.0
    """Longest sound."""
    max_channels: Count = 32
    """Most channels of a sound."""
    decode_workers: Count = 2
    """Processes that decode uploads."""
    decode_cpu_s: Seconds = 4.0
    """Processor time a sound's decoding may take."""
    decode_wall_s: Seconds = 30.0
    """Time a sound's decoding may take by the clock."""
    decode_memory_mb: Seconds = 1024.0
    """Memory, 10^6 bytes, that decoding may take in a worker beside the program itself."""

    training: bool = True
    """Whether runs may be started over HTTP."""
    data_roots: tuple[str, ...] = ()
    """Folders that configs of runs may read; nothing else but what is shipped and the demo's corpus. An address such as
    s3://bucket/prefix is a root too."""
    config_dirs: tuple[Path, ...] = ()
    """Folders of configs that runs may name, beside those shipped."""
    max_running: Count = 1
    """Runs trained at a time; the others wait in the queue."""
    engine: Literal["local", "ray"] = "local"
    """Where runs are trained: child processes here, or jobs of a Ray cluster that sees the same STATE_DIR."""
    ray_address: str = "auto"
    """Address of that cluster, as `ray job submit --address` takes it."""
    runs_at_shutdown: Literal["stop", "leave"] = "stop"
    """What an orderly shutdown does to runs: `stop` writes their checkpoints, and the next start goes on with them;
    `leave` lets their processes go on, and the next start finds them again."""
    shutdown_grace_s: Seconds = 30.0
    """How long an orderly shutdown waits for requests in flight and for runs to write their checkpoints."""

    log_format: Literal["json", "text"] = "json"
    """Form of log lines on standard error."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""

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
        """Whether only programs of this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def needs_keys(self) -> bool:
        """Whether every request needs an API key."""
        return self.keys == "required" or (self.keys == "auto" and not self.is_loopback)

    @property
    def keys_path(self) -> Path:
        """File of the API keys' hashes."""
        return self.state_dir / "keys.json"

    @property
    def models_dir(self) -> Path:
        """Folder of models made of runs."""
        return self.state_dir / "models"


def load_service_settings(
    file: str | Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> ServiceSettings:
    """Settings of a file, overridden by the environment, overridden by flags.

    Args:
        file: YAML; None for none.
        flags: values by key; None among them is no flag.
        environment: variables; those of this process by default.

    Raises:
        ConfigError: a key or a value is wrong.

    >>> load_service_settings(None, {"port": 9000}, {"AUDIO_DCLS_SERVE_PORT": "1"}).port
    9000
    """
    values: dict[str, Any] = {} if file is None else load_yaml(file)
    sources = [] if file is None else [f"'{file}'"]
    variables = os.environ if environment is None else environment
    named = sorted(name for name in variables if name.startswith(ENVIRONMENT_PREFIX))
    if named:
        assignments = [f"{name.removeprefix(ENVIRONMENT_PREFIX).lower()}={variables[name]}" for name in named]
        values = merge(values, parse_overrides(assignments))
        sources.append("environment " + ", ".join(named))
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    if given:
        values = merge(values, given)
        sources.append("flags")
    return build(ServiceSettings, values, "settings of the service" + (f" ({'; '.join(sources)})" if sources else ""))
