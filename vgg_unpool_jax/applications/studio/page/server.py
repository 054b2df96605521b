"""Serve the page: on this machine alone, without any request to others."""

import atexit
import dataclasses
import importlib
import ipaddress
import os
import pathlib
import socket
import tempfile
import threading
import urllib.parse
from collections.abc import Callable

from vgg_unpool_jax.applications.studio.jobs import Sessions
from vgg_unpool_jax.applications.studio.looks import Looks
from vgg_unpool_jax.applications.studio.models import Models
from vgg_unpool_jax.applications.studio.photos import MAX_BYTES
from vgg_unpool_jax.errors import ConfigError, UserError, first_line

USER = "studio"
PASSWORD_VARIABLE = "VGG_UNPOOL_STUDIO_PASSWORD"
_SHORTEST_PASSWORD = 8
_IDLE_SECONDS = 24 * 3600
_SWEEP_SECONDS = 600
# Paths by which gradio would fetch an address for a browser.
_FETCHING = ("/proxy=", "/file=http:", "/file=https:", "/file/http:", "/file/https:")
# Bytes of what a page sends beside uploads; painted regions are the largest.
_MAX_MESSAGE = 16 * 2**20
_LOCAL_NAMES = ("localhost", "127.0.0.1")


@dataclasses.dataclass
class Running:
    """A page that is served.

    Attributes:
      url: of the page.
      close: ends it and removes its files.
    """

    url: str
    close: Callable[[], None]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_password(host: str, password: str | None) -> None:
    """Refuse IPv6, and to be reachable from other machines without a password."""
    if ":" in host:
        raise ConfigError(
            f"the studio listens at a name or an IPv4 address, such as 127.0.0.1, got "
            f"{host}"
        )
    if is_loopback(host):
        return
    if password is None or len(password) < _SHORTEST_PASSWORD:
        raise ConfigError(
            f"the studio at {host} can be reached from other machines: give it a "
            f"password of at least {_SHORTEST_PASSWORD} letters in "
            f"{PASSWORD_VARIABLE}"
        )


def serve(
    models: Models,
    looks: pathlib.Path,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    password: str | None = None,
) -> Running:
    """Start the page in threads of this process.

    Args:
      models: what is on this machine.
      looks: folder of saved looks.
      host: address to listen at.
      port: 0 takes a free one.
      password: of the user `USER`; needed where other machines can reach the host.
    """
    check_password(host, password)
    folder = tempfile.TemporaryDirectory(prefix="vgg_unpool_studio-")
    uploads = pathlib.Path(folder.name).resolve()
    (uploads / "sessions").mkdir()
    # gradio reads them when it is imported, or when components are made.
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(uploads / "examples")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    _import_gradio()
    from vgg_unpool_jax.applications.studio.page import layout
    from vgg_unpool_jax.applications.studio.page.parts import Page

    sessions = Sessions(uploads / "sessions", uploads)
    page = Page(models, sessions, Looks(looks))
    blocks = layout.build(page)
    _fetch_nothing()
    try:
        blocks.launch(
            server_name=host,
            server_port=port or _free_port(),
            auth=(USER, password) if password else None,
            max_file_size=MAX_BYTES,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=["api", "settings"],
            theme=layout.theme(),
            head=layout.head(),
            app_kwargs={"middleware": _middleware(host)},
        )
    except OSError as error:
        folder.cleanup()
        raise UserError(
            f"the studio cannot listen at {host}:{port}: take another --port"
        ) from error
    stop = threading.Event()
    threading.Thread(target=_sweep, args=(sessions, stop), daemon=True).start()

    def close() -> None:
        stop.set()
        blocks.close(verbose=False)
        folder.cleanup()

    atexit.register(folder.cleanup)
    return Running(blocks.local_url, close)


def _import_gradio():
    try:
        importlib.import_module("gradio")
    except ImportError as error:
        raise UserError(
            f"the studio needs gradio, which cannot be imported ({first_line(error)}): "
            "run `pip install 'gradio>=6.31,<7'`"
        ) from error


class _Gate:
    """Refuses what gradio would fetch for a browser, and large messages.

    Uploads have a limit of gradio's own, for each file.
    """

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        status = _refusal(scope) if scope["type"] == "http" else None
        if status is None:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def _refusal(scope) -> int | None:
    """The HTTP status of a request that is refused; None for others."""
    path = urllib.parse.unquote(scope["path"]).lower()
    if any(part in path for part in _FETCHING):
        return 403
    if scope["method"] == "POST" and not path.rstrip("/").endswith("/upload"):
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit() or int(length) > _MAX_MESSAGE:
            return 413
    return None


def _middleware(host: str) -> list:
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    names = _allowed_names(host)
    return [
        Middleware(_Gate),
        Middleware(TrustedHostMiddleware, allowed_hosts=names),
    ]


def _allowed_names(host: str) -> list[str]:
    """Names under which a page is served; "*" is any.

    Without a password, pages of other sites whose name was pointed at this machine must
    stay outside.
    """
    return [*_LOCAL_NAMES, host] if is_loopback(host) else ["*"]


def _fetch_nothing() -> None:
    """Let gradio download no address that a browser sends in place of a file."""
    from gradio import processing_utils

    async def refuse(url: str, *args, **kwargs):
        raise UserError("addresses are not fetched: upload the file")

    processing_utils.async_ssrf_protected_download = refuse


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _sweep(sessions: Sessions, stop: threading.Event) -> None:
    while not stop.wait(_SWEEP_SECONDS):
        sessions.end_old(_IDLE_SECONDS)
