"""A server of OpenAI's form on loopback whose model follows a script, tools called included."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[dict[str, Any]], dict[str, Any]]


def say(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def call(*calls: tuple[str, Any]) -> dict[str, Any]:
    """A message that calls tools; arguments that are text go out as they are."""
    made = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {"name": name, "arguments": told if isinstance(told, str) else json.dumps(told)},
        }
        for number, (name, told) in enumerate(calls)
    ]
    return {"role": "assistant", "content": None, "tool_calls": made}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Script, pause: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.pause = script, pause
        self.asked: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.reply({"data": [{"id": "planner"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        time.sleep(self.server.pause)
        message = self.server.script(asked)
        if not asked.get("stream"):
            self.reply({"choices": [{"message": message}]})
            return
        self.send_response(200)
        self.end_headers()
        for event in ({"delta": {"content": message["content"]}}, {"delta": {}, "finish_reason": "stop"}):
            self.wfile.write(b"data: " + json.dumps({"choices": [event]}).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def reply(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            return


@contextmanager
def serving(script: Script, pause: float = 0.0) -> Iterator[Server]:
    with Server(script, pause) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
