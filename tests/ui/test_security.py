"""The desk answers this machine's own page alone, and its policy lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from slides import UsageError
from tests.ui.scripted import ScriptedEngine
from ui.app import build_app, run
from ui.session import COOKIE


@pytest.fixture(scope="module")
def client(generated_slide: Path) -> Iterator[TestClient]:
    app = build_app(ScriptedEngine(), [generated_slide])
    with TestClient(app, base_url="http://127.0.0.1:7860") as opened:
        yield opened


def test_a_foreign_host_or_page_is_refused(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/", headers={"host": "127.0.0.1.evil.example:7860"}).status_code == 421
    assert client.get("/", headers={"host": "localhost:7860"}).status_code == 200
    tile = "/tiles/0/0/0_0.jpg"
    assert client.get(tile).status_code == 200
    assert client.get(tile, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get(tile, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get(tile, headers={"origin": "null"}).status_code == 403
    assert client.post("/gradio_api/queue/join", headers={"origin": "http://localhost:9999"}).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200


def test_forwarded_headers_move_nothing(client: TestClient) -> None:
    answer = client.get("/", headers={"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"})
    assert answer.status_code == 200
    assert "evil.example" not in answer.text


def test_only_the_hashed_scripts_of_the_page_may_run(client: TestClient) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    script_sources = re.search(r"script-src ([^;]+)", policy)
    assert script_sources is not None
    assert "'unsafe-inline'" not in script_sources[1]
    inline = re.findall(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", answer.content, re.S)
    assert inline
    for script in inline:
        assert base64.b64encode(hashlib.sha256(script).digest()).decode() in script_sources[1]
    for directive in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'", "form-action 'self'"):
        assert directive in policy
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_session_key_is_out_of_reach_of_scripts_and_given_once(client: TestClient) -> None:
    client.cookies.clear()
    first = client.get("/").headers["set-cookie"]
    assert first.startswith(f"{COOKIE}=")
    assert "HttpOnly" in first
    assert "SameSite=Strict" in first
    assert "set-cookie" not in client.get("/").headers


def test_the_page_knows_no_path_and_opens_no_door(client: TestClient, generated_slide: Path) -> None:
    for place in ("/", "/config"):
        answer = client.get(place)
        assert str(generated_slide.parent) not in answer.text
    assert client.get("/gradio_api/runs").status_code == 404
    assert client.get("/gradio_api/file=/etc/passwd").status_code == 403
    assert client.get("/monitoring").status_code in (403, 404)
    assert client.get("/docs").status_code == 404
    assert client.get("/openapi.json").status_code == 404
    endpoints = client.get("/gradio_api/info").json()
    assert endpoints["named_endpoints"] == {}


def test_a_report_is_there_only_for_who_drafted_it(client: TestClient) -> None:
    assert client.get("/report/0.md").status_code == 404
    assert client.get("/report/99.md").status_code == 404


def test_building_the_desk_asks_no_name_server_and_no_host(generated_slide: Path) -> None:
    calls: list[tuple[str, Any]] = []
    watching = True

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in ("socket.getaddrinfo", "socket.connect", "urllib.Request"):
            calls.append((event, arguments))

    sys.addaudithook(audit)
    with TestClient(build_app(ScriptedEngine(), [generated_slide]), base_url="http://127.0.0.1") as opened:
        opened.get("/")
    watching = False
    assert calls == []


def test_a_taken_port_is_one_line(generated_slide: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is taken"):
            run(build_app(ScriptedEngine(), [generated_slide]), port, lambda: None)
