"""A larger language model behind an OpenAI-compatible server on this machine (vLLM, llama.cpp, Ollama)."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import ipaddress
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from slides.errors import SetupError, UsageError

from .lettered import TOP, Lettered
from .model import Message
from .pictures import Pixels, scale_in_words

_TIMEOUT = 300.0  # seconds that a server may be silent, loading a model for instance
_GLANCE = 0.05  # seconds between two looks at `halted` while the server is silent
_FORM = "the server of {} answers in another form than OpenAI's chat: take another server"


class RemoteModel(Lettered):
    """A `LanguageModel` on a loopback server; requests never leave this machine.

    Likelihoods of given texts are not part of that interface: choices are put to the model by letter.

    Attributes
    ----------
    name : the model's name on the server
    sha256 : empty, since the weights are the server's
    sees : `records`, and `pixels` where the address says that the model is to be shown pictures
    """

    sha256 = ""

    def __init__(self, url: str) -> None:
        """Connects to `http://127.0.0.1:PORT/v1`, its first model, or the one named after `#`.

        With `?pictures` behind the path the model is shown the pictures that are asked about.

        Raises
        ------
        UsageError : the address is not on this machine, or asks for something else than pictures
        SetupError : no such server answers there
        """
        self._server = loopback(url)
        if self._server.query not in ("", "pictures"):
            raise UsageError(f"?{self._server.query} is no setting of a language server: ?pictures is the only one")
        self.sees = ("records", "pixels") if self._server.query else ("records",)
        self._path = self._server.path.rstrip("/") or "/v1"
        self.name = self._server.fragment or self._first_model()

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 160,
        temperature: float = 0.0,
        seed: int = 0,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Pieces of text as the server sends them; a stop closes the connection, which ends its work."""
        body = {"max_tokens": max_new_tokens, "temperature": temperature, "seed": seed, "stream": True}
        for event in self._events(self._chat(messages) | body, halted):
            for choice in event["choices"][:1]:
                if piece := _plain((choice.get("delta") or {}).get("content")):
                    yield piece

    def converse(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        *,
        max_new_tokens: int = 220,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """The model's next message, which may call some of the tools; everything in OpenAI's own form.

        Raises `SetupError` when the server does not answer within `seconds`, None for as long as it may be silent.
        """
        body = {"model": self.name, "messages": list(messages), "max_tokens": max_new_tokens, "temperature": 0.0}
        body |= {"tools": list(tools), "tool_choice": "auto"} if tools else {}
        answer = self._request("POST", "/chat/completions", body, seconds)
        try:
            return dict(answer["choices"][0]["message"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SetupError(_FORM.format(self.name)) from error

    def _reply(self, messages: Sequence[Message], *, likelihoods: bool) -> tuple[str, Any]:
        body: dict[str, Any] = {"max_tokens": 4, "temperature": 0.0}
        if likelihoods:
            body |= {"logprobs": True, "top_logprobs": TOP}
        answer = self._request("POST", "/chat/completions", self._chat(messages) | body)
        try:
            choice = answer["choices"][0]
            return _plain(choice["message"]["content"]), choice.get("logprobs")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise SetupError(_FORM.format(self.name)) from error

    def _chat(self, messages: Sequence[Message]) -> dict[str, Any]:
        return {"model": self.name, "messages": [_turn(message) for message in messages]}

    def _first_model(self) -> str:
        try:
            return str(self._request("GET", "/models", None)["data"][0]["id"])
        except (KeyError, IndexError, TypeError) as error:
            raise SetupError(f"the server at {self._server.netloc} lists no model: name one after #") from error

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None, seconds: float | None = None
    ) -> dict[str, Any]:
        with self._response(method, path, body, seconds) as response:
            try:
                content: dict[str, Any] = json.loads(response.read())
                return content
            except (ValueError, OSError, http.client.HTTPException) as error:
                raise SetupError(f"the server at {self._server.netloc} broke off its answer") from error

    def _events(self, body: dict[str, Any], halted: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """The server's events; a thread reads, so that a stop is seen while the server is silent."""
        lines: queue.Queue[bytes | None] = queue.Queue()
        with self._response("POST", "/chat/completions", body) as response:

            def read() -> None:
                with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
                    for line in response:
                        lines.put(line)
                lines.put(None)

            threading.Thread(target=read, daemon=True).start()
            finished = False
            while not halted():
                try:
                    line = lines.get(timeout=_GLANCE)
                except queue.Empty:
                    continue
                if line is None and not finished:
                    raise SetupError(f"the server at {self._server.netloc} broke off its answer: ask again")
                if line is None or line.strip() == b"data: [DONE]":
                    return
                if line.startswith(b"data:"):
                    event = self._event(line[5:])
                    finished = finished or any(choice.get("finish_reason") for choice in event["choices"])
                    yield event

    def _event(self, data: bytes) -> dict[str, Any]:
        try:
            event: dict[str, Any] = json.loads(data)
            return {"choices": event.get("choices") or []}
        except (ValueError, AttributeError) as error:
            raise SetupError(_FORM.format(self.name)) from error

    @contextlib.contextmanager
    def _response(
        self, method: str, path: str, body: dict[str, Any] | None, seconds: float | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        # http.client knows no proxies and follows no redirects: what is asked goes to this address or nowhere.
        connection = http.client.HTTPConnection(
            self._server.hostname or "127.0.0.1", self._server.port or 80, timeout=seconds or _TIMEOUT
        )
        link: socket.socket | None = None
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, self._path + path, content, {"Content-Type": "application/json"})
            link = connection.sock  # an answer that ends with the connection takes it from the connection object
            response = connection.getresponse()
            if response.status != 200:
                raise SetupError(
                    f"the server at {self._server.netloc} answers {response.status}: "
                    "is the address that of its /v1 and the model's name right?"
                )
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise SetupError(f"no language model answers at {self._server.netloc}: start its server first") from error
        finally:
            with contextlib.suppress(OSError):
                if link:
                    link.shutdown(socket.SHUT_RDWR)
            connection.close()


def _turn(message: Message) -> dict[str, Any]:
    """A turn in OpenAI's form; pictures go before the text, each under a line with its scale, as JPEG data URLs."""
    pixels = message.get("pixels")
    if not pixels:
        return {"role": message["role"], "content": message["content"]}
    parts: list[dict[str, Any]] = []
    for number, one in enumerate(pixels, 1):
        parts.append({"type": "text", "text": f"Picture {number}, {scale_in_words(one.mpp)}:"})
        parts.append({"type": "image_url", "image_url": {"url": _data_url(one)}})
    return {"role": message["role"], "content": [*parts, {"type": "text", "text": message["content"]}]}


def _data_url(pixels: Pixels) -> str:
    from PIL import Image

    memory = io.BytesIO()
    Image.fromarray(pixels.rgb).save(memory, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(memory.getvalue()).decode("ascii")


def loopback(url: str) -> SplitResult:
    """The parts of an address on this machine; `UsageError` for any other, so that no patient's data leave."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or 80
        found = {item[4][0] for item in socket.getaddrinfo(host, port)} if host == "localhost" else {host}
        inside = parts.scheme == "http" and all(ipaddress.ip_address(address).is_loopback for address in found)
    except (ValueError, OSError):
        inside = False
    if not inside:
        raise UsageError(
            "a language server must be on this machine (http://127.0.0.1:PORT/v1): patients' data never leave it"
        )
    return parts


def _plain(text: Any) -> str:
    return text if isinstance(text, str) else ""
