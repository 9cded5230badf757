"""What keeps the desk on this machine: environment, hosts, same origin, and a content-security policy by hashes."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from copilot.language.convert import cache_folder
from copilot.process import prepare_process

STATIC = Path(__file__).parent / "static"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

# gr.HTML builds functions from text, so 'unsafe-eval' cannot be left out; inline scripts are allowed by hash alone.
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'; script-src 'self' 'unsafe-eval'"
)

HEADERS = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), usb=()"),
)

_INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.S)
_FORWARDED = (b"forwarded", b"x-forwarded-", b"x-original-", b"x-real-ip")


def quiet_environment() -> None:
    """Turns off whatever would call out or leave traces; must run before gradio or transformers are imported."""
    prepare_process()
    os.environ["GRADIO_SHARE"] = "False"
    os.environ["GRADIO_MCP_SERVER"] = "False"
    os.environ.setdefault("GRADIO_TEMP_DIR", own_folder())


def own_folder() -> str:
    """The folder for what Gradio may write; in the user's own cache, closed to others."""
    folder = cache_folder() / "desk"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(folder)


class Guard:
    """ASGI wrapper that answers only this machine's own page and sends the headers that keep it so.

    Parameters
    ----------
    hosts : names the desk may be called by; another `Host` is refused (DNS rebinding)
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = LOOPBACK) -> None:
        self.app = app
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over a websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        scope = dict(scope, headers=[pair for pair in scope["headers"] if not _dropped(pair[0].lower())])
        await self.app(scope, receive, _Sealed(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if re.sub(r":\d+$", "", host) not in self.hosts:
            return 421, "this desk answers to 127.0.0.1 and localhost only"
        origin = headers.get(b"origin")
        if origin not in (None, "null") and urlsplit(origin or "").netloc != host:
            return 403, "requests from another page are refused"
        site = headers.get(b"sec-fetch-site", "same-origin")
        opens_page = headers.get(b"sec-fetch-mode") == "navigate" and scope["method"] == "GET"
        if (site not in ("same-origin", "none") or origin == "null") and not opens_page:
            return 403, "requests from another page are refused"
        return None


class _Sealed:
    """Sends a response on with our headers; holds an HTML page back until its inline scripts are hashed."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._page: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
            if _is_html(message["headers"]):
                self._page = message
            else:
                message["headers"] += [(b"content-security-policy", POLICY.encode())]
                await self._send(message)
            return
        if self._page is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            kept = [pair for pair in self._page["headers"] if pair[0].lower() != b"content-length"]
            kept += [
                (b"content-security-policy", policy_for(self._body).encode()),
                (b"content-length", str(len(self._body)).encode()),
                (b"cache-control", b"no-store"),
            ]
            await self._send(dict(self._page, headers=kept))
            await self._send({"type": "http.response.body", "body": self._body, "more_body": False})


def policy_for(page: bytes) -> str:
    """The policy of an HTML page: only the inline scripts it holds may run."""
    digests = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page))
    return POLICY + "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _is_html(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)


def _dropped(name: bytes) -> bool:
    # accept-encoding goes too: a compressed page could not be hashed, and on loopback it would only cost time
    return name == b"accept-encoding" or name.startswith(_FORWARDED)


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = reason.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *HEADERS]})
    await send({"type": "http.response.body", "body": body})
