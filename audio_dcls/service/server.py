"""Run the service as a process: open a socket, serve the application, and end in good order."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
from collections.abc import Callable, Iterator

import uvicorn

from audio_dcls.errors import ArgumentError
from audio_dcls.runs.locks import try_lock
from audio_dcls.service.app import build_app
from audio_dcls.service.keys import KeyFile
from audio_dcls.service.observability import set_up_logging
from audio_dcls.service.settings import ServiceSettings

_BACKLOG = 256
_STREAM_MESSAGE_BYTES = 2**20
_M_ARENA_MAX = -8
"""The constant in malloc.h; see mallopt(3)."""
_NUM_ARENAS = 2


def run_server(settings: ServiceSettings, on_listening: Callable[[str], object]) -> None:
    """Serve until a signal stops the process.

    Args:
        settings: the service's settings.
        on_listening: called with the address once the service accepts connections.

    Raises:
        ArgumentError: keys are needed and the file has no keys, the address cannot be used, or another service uses the
            state folder.
    """
    if settings.needs_keys and not KeyFile(settings.keys_path).keys():
        why = (
            "`keys` (='required') requires API keys"
            if settings.keys == "required"
            else f"`host` (={settings.host!r}) can be reached by others, so requests need API keys"
        )
        raise ArgumentError(
            f"{why}, and '{settings.keys_path}' has no keys; make one with: audio-dcls keys add NAME --scope tag "
            f"--state {settings.state_dir}"
        )
    _use_few_arenas()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with try_lock(settings.state_dir / ".lock") as is_ours, _listen(settings) as listener:
        if not is_ours:
            raise ArgumentError(
                f"`state_dir` (='{settings.state_dir}') is in use by another service; stop it, or give another --state"
            )
        set_up_logging(settings)
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            build_app(settings, lambda: on_listening(f"http://{_shown(settings.host)}:{port}")),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_s)),
            ws_max_size=_STREAM_MESSAGE_BYTES,
        )
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _listen(settings: ServiceSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None)
            why = {
                errno.EADDRINUSE: "another program uses this port; give another --port",
                errno.EACCES: "this user may not use this port; give a --port of 1024 or more",
            }.get(number or 0, "give an address of this machine as --host, such as 127.0.0.1 or 0.0.0.0")
            detail = os.strerror(number) if number and number > 0 else str(error)
            message = f"cannot listen at '{settings.host}' port {settings.port} ({detail}): {why}"
            raise ArgumentError(message) from error
        listener.listen(_BACKLOG)
        listener.set_inheritable(False)
        yield listener
    finally:
        listener.close()


def _use_few_arenas() -> None:
    """Limit malloc to two arenas: glibc's arena per thread never returns memory."""
    with contextlib.suppress(OSError, AttributeError):  # this is not glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _NUM_ARENAS)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
