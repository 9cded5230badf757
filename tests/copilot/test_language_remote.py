"""A server's model: on this machine or not at all, streamed, stopped, chosen from by letter."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from copilot.language import load_language
from copilot.language.model import Message
from copilot.language.remote import RemoteModel, loopback
from slides import SetupError, UsageError

QUESTION: list[Message] = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is this?"}]


class Server(ThreadingHTTPServer):
    """Speaks as much of OpenAI's interface as such servers do; remembers what it was asked."""

    daemon_threads = True
    words: tuple[str, ...] = ("Gland", "ular", " tissue", " of 41 µm².")
    letter = "B."
    likeliest: tuple[tuple[str, float], ...] = (("B", -0.2), (" A", -1.9), ("Z", -4.0))
    pause = 0.0
    cut = False
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._reply({"data": [{"id": "big-model"}]} if self.path == "/v1/models" else {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, **body})
        if not body.get("stream"):
            tops = [{"token": token, "logprob": value} for token, value in self.server.likeliest]
            choice: dict[str, Any] = {"message": {"content": self.server.letter}}
            if tops:
                choice["logprobs"] = {"content": [{"token": "B", "top_logprobs": tops}]}
            self._reply({"choices": [choice]})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        events = [{"choices": [{"delta": {"role": "assistant"}}]}]
        events += [{"choices": [{"delta": {"content": word}}]} for word in self.server.words]
        if not self.server.cut:
            events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": []}]
        try:
            for event in events:
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                self.wfile.flush()
                self.server.sent += 1
                time.sleep(self.server.pause)
        except OSError:
            return

    def _reply(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_stream_is_the_servers_text_and_carries_the_settings(server: Server) -> None:
    model = load_language(server.url)
    pieces = list(model.stream(QUESTION, max_new_tokens=7, temperature=0.5, seed=3))
    assert pieces == list(server.words)
    assert (model.name, model.sha256) == ("big-model", "")
    asked = server.asked[0]
    assert asked["path"] == "/v1/chat/completions"
    assert (asked["model"], asked["messages"]) == ("big-model", QUESTION)
    assert (asked["max_tokens"], asked["temperature"], asked["seed"]) == (7, 0.5, 3)


def test_a_model_can_be_named_after_the_address(server: Server) -> None:
    model = load_language(f"{server.url}#other-model")
    list(model.stream(QUESTION))
    assert model.name == server.asked[0]["model"] == "other-model"


def test_a_stop_is_seen_while_the_server_is_silent(server: Server) -> None:
    server.pause = 60.0
    looks = iter([False, False, False])
    assert list(RemoteModel(server.url).stream(QUESTION, halted=lambda: next(looks, True))) == []
    assert server.sent <= 1


def test_an_answer_that_breaks_off_is_an_error_and_not_an_answer(server: Server) -> None:
    server.cut = True
    with pytest.raises(SetupError, match="broke off"):
        list(RemoteModel(server.url).stream(QUESTION))


def test_a_choice_is_the_wording_of_the_letter(server: Server) -> None:
    model = RemoteModel(server.url)
    wordings = ["Glands are seen.", "There are glands of 41 µm²."]
    assert "".join(model.choose(QUESTION, "It is sharp. ", wordings)) == wordings[1]
    listed = server.asked[0]["messages"][-1]["content"]
    assert "A. Glands are seen." in listed
    assert "It is sharp." in listed
    server.letter = "I would rather not say"
    assert "".join(model.choose(QUESTION, "", wordings)) == wordings[0]


def test_one_wording_is_not_asked_about(server: Server) -> None:
    assert "".join(RemoteModel(server.url).choose(QUESTION, "", ["As it is."])) == "As it is."
    assert server.asked == []


def test_scores_are_the_likelihoods_of_the_letters(server: Server) -> None:
    scores = RemoteModel(server.url).score(QUESTION, ["adenoma", "carcinoma", "normal"])
    assert scores[1] > scores[0] > scores[2]
    server.likeliest = ()
    with pytest.raises(SetupError, match="logprobs"):
        RemoteModel(server.url).score(QUESTION, ["adenoma", "carcinoma"])


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/v1",
        "https://127.0.0.1/v1",
        "http://127.0.0.1@example.org/v1",
        "http://192.168.1.4:8000/v1",
        "http://0.0.0.0:8000/v1",
        "http://[::ffff:10.0.0.1]:8000/v1",
        "http://127.0.0.1:99999/v1",
        "ftp://127.0.0.1/v1",
        "http:///v1",
    ],
)
def test_an_address_off_this_machine_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(UsageError, match="patients' data never leave"):
        load_language(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://localhost:8000", "http://[::1]:8000/v1"])
def test_addresses_of_this_machine_are_taken(url: str) -> None:
    assert loopback(url).port == 8000


def test_a_server_that_is_not_there_or_not_right_is_told_in_one_line(server: Server) -> None:
    server.status = 404
    with pytest.raises(SetupError, match="404"):
        RemoteModel(server.url)
    url = server.url.replace(str(server.server_port), "9")
    with pytest.raises(SetupError, match="start its server"):
        RemoteModel(url)
    with pytest.raises(UsageError, match="--quantise"):
        load_language(url, quantise="4bit")
