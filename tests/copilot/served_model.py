"""A language server as users have them, in a process of its own: `python -m tests.copilot.served_model FOLDER LOG`.

Speaks OpenAI's chat on loopback with a model folder behind it, and writes what reaches it to LOG, a line a request.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from copilot.language.hub import load_hub
from copilot.language.model import Message


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = load_hub(sys.argv[1])
    log = Path(sys.argv[2])

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.whole({"object": "list", "data": [{"id": self.model.name, "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        pictures: list[Image.Image] = []
        messages = [self.plain(turn, pictures) for turn in asked["messages"]]
        self.note(asked=messages, pictures=[[*one.size, one.format, one.getpixel((5, 5))] for one in pictures])
        if asked.get("stream"):
            self.streamed(messages, asked)
        else:
            self.at_once(messages, asked)

    def plain(self, turn: dict[str, Any], pictures: list[Image.Image]) -> Message:
        if isinstance(turn["content"], str):
            return {"role": turn["role"], "content": turn["content"]}
        texts = []
        for part in turn["content"]:
            if part["type"] == "image_url":
                head, _, data = part["image_url"]["url"].partition(",")
                assert head == "data:image/jpeg;base64"
                pictures.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
            else:
                texts.append(part["text"])
        return {"role": turn["role"], "content": "\n".join(texts)}

    def streamed(self, messages: list[Message], asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        room = self.model._network.context - len(self.model._tokens.prompt(messages))
        sent = 0
        try:
            for piece in self.model.stream(messages, max_new_tokens=min(asked["max_tokens"], room)):
                self.event({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
                sent += 1
                time.sleep(0.02)  # a model of a useful size takes longer
            self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.note(left_after=sent)
        self.close_connection = True

    def at_once(self, messages: list[Message], asked: dict[str, Any]) -> None:
        logits = self.model._read(self.model._tokens.prompt(messages), lambda: False)
        assert logits is not None
        top = logits.log_softmax(dim=-1).topk(asked.get("top_logprobs") or 1)
        tops = [
            {"token": self.model._tokens.text([int(token)]), "logprob": float(value)}
            for value, token in zip(*top, strict=True)
        ]
        text = "".join(self.model.stream(messages, max_new_tokens=asked["max_tokens"]))
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
        if asked.get("logprobs"):
            choice["logprobs"] = {"content": [{**tops[0], "top_logprobs": tops}]}
        self.whole({"choices": [choice]})

    def event(self, content: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(content).encode() + b"\n\n")
        self.wfile.flush()

    def whole(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def note(self, **told: Any) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()
