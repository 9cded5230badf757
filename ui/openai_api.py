"""`/v1/chat/completions` and `/v1/models`: the copilot for whatever speaks OpenAI's protocol, on this machine alone.

A message's content is text, or parts: `text`, and `image_url` whose url is a `data:` URI, or `slide:NAME` of a slide on
the desk, with `#X,Y,W,H` for a part of it in level-0 pixels. A question without any is about the pictures of the last
message that had some, else about the slides whose names stand in the conversation, else about the only slide there is.
System messages are not obeyed: what may be said is not for a prompt to decide. Beside OpenAI's fields a request may
hold `options`, `context` and `mpp`; the message, or a stream's last chunk, holds `pathcopilot`: claims, evidence,
findings, hashes, in the shape of `pathcopilot ask --json`.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from copilot.answer import Done, Event, Question, Saying, Turn, View
from copilot.requests import checked_mpp, inside, parse_options, parse_region
from copilot.uploads import data_uri
from slides import PathcopilotError, UsageError, open_slide

from .models import Models
from .rack import Rack

MODEL = "pathcopilot"
LARGEST_REQUEST = 96 << 20
"""Bytes of a request with its pictures."""
_CREATED = 1790000000  # OpenAI's clients want a date of the model; it has no other meaning


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its text, and the addresses of its pictures."""

    role: str
    text: str
    pictures: tuple[str, ...] = ()


def openai_routes(models: Models, rack: Rack) -> APIRouter:
    """The routes, over an engine and the slides of a desk."""
    router = APIRouter(prefix="/v1")

    @router.get("/models")
    def listed() -> dict[str, Any]:
        return {"object": "list", "data": [_model_card()]}

    @router.get("/models/{name}", response_model=None)
    def one(name: str) -> dict[str, Any] | JSONResponse:
        return _model_card() if name == MODEL else _refused(f"there is no model {name!r}: use {MODEL}", 404)

    @router.post("/chat/completions")
    async def complete(request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST_REQUEST:
                return _refused(f"the request is larger than {LARGEST_REQUEST >> 20} MB: send fewer pictures", 413)
        try:
            asked = json.loads(bytes(body))
            completion = Completion(models, rack, asked if isinstance(asked, dict) else {})
        except ValueError:
            return _refused("the request is not JSON")
        except PathcopilotError as error:
            return _refused(str(error))
        if completion.streams:
            return StreamingResponse(completion.chunks(), media_type="text/event-stream")
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(completion.whole)

    return router


class Completion:
    """One answer in OpenAI's form; raises `UsageError` for a request that holds no question."""

    def __init__(self, models: Models, rack: Rack, asked: Mapping[str, Any]) -> None:
        self._models, self._rack = models, rack
        self._messages = [_message(one) for one in asked.get("messages") or () if isinstance(one, Mapping)]
        self._settings = asked
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self.streams = asked.get("stream") is True
        if asked.get("stop"):
            raise UsageError("stop words would cut a claim from its evidence: ask without them")
        if not self._messages or self._messages[-1].role != "user" or not self._messages[-1].text.strip():
            raise UsageError("the last message must be the user's and hold a question in plain words")

    def whole(self) -> Response:
        """The completion as one object."""
        try:
            text, answer = "", None
            for event in self._events():
                if isinstance(event, Saying):
                    text += event.text
                elif isinstance(event, Done):
                    text, answer = event.answer.text, event.answer.as_json()
        except PathcopilotError as error:
            return _refused(str(error))
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        told = {"choices": [choice], "pathcopilot": answer}
        return JSONResponse(self._head("chat.completion") | told)

    def chunks(self) -> Iterator[str]:
        """The completion as server-sent events, words as they are checked; it ends when its reader goes."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            for event in self._events():
                if isinstance(event, Saying) and event.text:
                    yield self._chunk({"content": event.text})
                elif isinstance(event, Done):
                    yield self._chunk({}, "stop", event.answer.as_json())
        except PathcopilotError as error:
            yield f"data: {json.dumps({'error': _error(str(error))})}\n\n"
        yield "data: [DONE]\n\n"

    def _events(self) -> Iterator[Event]:
        last = self._messages[-1]
        with ExitStack() as stack:
            views = self._views(stack)
            if not views:
                yield Saying(self._which())
                return
            question = Question(
                last.text,
                views,
                context=_text(self._settings.get("context")) or None,
                options=parse_options(self._settings.get("options")),
                history=_history(self._messages[:-1]),
            )
            with self._models.turn(lambda why: None, _never) as engine:
                yield from engine.ask(question, halted=_never)

    def _views(self, stack: ExitStack) -> tuple[View, ...]:
        mpp = self._settings.get("mpp")
        if mpp is not None and not isinstance(mpp, int | float):
            raise UsageError('"mpp" must be a number, µm per pixel')
        mpp = checked_mpp(mpp)
        for message in reversed(self._messages):
            if message.pictures:
                return tuple(self._view(address, mpp, stack) for address in message.pictures)
        names = self._rack.names
        for message in reversed(self._messages):
            named = [key for key, name in names.items() if name.lower() in message.text.lower()]
            if named and message.role == "user":
                return tuple(View(self._rack.slide(key)) for key in named)
        return (View(self._rack.slide(next(iter(names)))),) if len(names) == 1 else ()

    def _view(self, address: str, mpp: float | None, stack: ExitStack) -> View:
        if address.startswith("data:"):
            return View(stack.enter_context(open_slide(data_uri(address, stack), mpp=mpp)))
        if not address.startswith("slide:"):
            raise UsageError("a picture must be a data: URI, or slide:NAME of a slide on the desk: nothing is fetched")
        name, _, part = unquote(address.removeprefix("slide:")).partition("#")
        key = next((key for key, known in self._rack.names.items() if known == name), None)
        if key is None:
            raise UsageError(
                f"there is no slide {name!r} on the desk; there are: {', '.join(self._rack.names.values())}"
            )
        slide = self._rack.slide(key)
        return View(slide, inside(slide, parse_region(part)) if part else None)

    def _which(self) -> str:
        names = ", ".join(self._rack.names.values())
        return (
            f"Name the slide that you ask about: {names}." if names else "Add a picture: there is no slide on the desk."
        )

    def _chunk(self, delta: dict[str, Any], end: str | None = None, answer: dict[str, Any] | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": end, "logprobs": None}
        more = {} if answer is None else {"pathcopilot": answer}
        return f"data: {json.dumps(self._head('chat.completion.chunk') | {'choices': [choice]} | more)}\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": int(time.time()), "model": MODEL}


def _message(one: Mapping[str, Any]) -> Message:
    """A message from outside: nothing about it is certain."""
    content = one.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts, pictures = [], []
    for part in parts:
        if not isinstance(part, Mapping):
            continue
        if part.get("type") == "text":
            texts.append(_text(part.get("text")))
        elif part.get("type") == "image_url":
            given = part.get("image_url")
            pictures.append(_text(given.get("url") if isinstance(given, Mapping) else given))
    return Message(_text(one.get("role")), "\n".join(filter(None, texts)), tuple(pictures))


def _history(messages: Sequence[Message]) -> tuple[Turn, ...]:
    turns, asked = [], ""
    for message in messages:
        if message.role == "user":
            asked = message.text
        elif message.role == "assistant" and asked:
            turns.append(Turn(asked, message.text))
            asked = ""
    return tuple(turns)


def _never() -> bool:
    return False


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _model_card() -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": MODEL}


def _error(reason: str) -> dict[str, Any]:
    return {"message": reason, "type": "invalid_request_error", "param": None, "code": None}


def _refused(reason: str, status: int = 400) -> JSONResponse:
    return JSONResponse({"error": _error(reason)}, status)
