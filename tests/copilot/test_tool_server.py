"""An MCP client talks with the copilot's tools: in this process with a scripted engine, and as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from copilot.engine import Copilot
from slides import SetupError

mcp = pytest.importorskip("mcp", reason="no mcp: pip install mcp")

from copilot.tool_server import Tools, serve_tools  # noqa: E402

NAMES = {
    "list_slides",
    "inspect_slide",
    "ask_about_slide",
    "suggest_tests",
    "draft_report",
    "look_up_knowledge",
}


def talk(server: Any, about: Callable[[Any], Any]) -> Any:
    async def spoken() -> Any:
        async with mcp.Client(server) as client:
            return await about(client)

    return anyio.run(spoken)


def told(result: Any) -> Any:
    assert not result.is_error, result.content[0].text
    found = result.structured_content
    return found["result"] if set(found) == {"result"} else found


def no_models() -> Copilot:
    raise AssertionError("no model is needed for this")


def test_slides_are_listed_and_inspected_without_models_and_nothing_else_is_reached(generated_slide: Path) -> None:
    async def about(client: Any) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} == NAMES
        (slide,) = told(await client.call_tool("list_slides", {}))
        assert slide["name"] == generated_slide.name
        assert told(await client.call_tool("inspect_slide", {"slide": slide["name"]}))["size"] == slide["size"]
        for name in ("/etc/passwd", str(generated_slide)):
            refused = await client.call_tool("inspect_slide", {"slide": name})
            assert refused.is_error
            assert "there is no slide" in refused.content[0].text

    talk(serve_tools(Tools(no_models, [generated_slide])), about)


def test_two_turns_about_a_slide_tests_and_knowledge_over_standard_streams(generated_slide: Path) -> None:
    try:
        Copilot.load()
    except SetupError as error:
        pytest.skip(f"the models are not installed: {error}")
    program = "from ui.command import main; import sys; sys.argv[0] = 'pathcopilot'; main()"
    server = mcp.StdioServerParameters(command=sys.executable, args=["-c", program, "mcp", str(generated_slide)])

    async def about(client: Any) -> None:
        asked = {"slide": generated_slide.name, "region": "0,0,600,600", "question": "What is this?"}
        first = told(await client.call_tool("ask_about_slide", asked))
        assert first["answer"]
        assert all(claim["status"] in ("supported", "knowledge", "asked", "struck") for claim in first["claims"])
        second = told(await client.call_tool("ask_about_slide", asked | {"question": "And how sure is that?"}))
        assert second["answer"]
        plan = told(await client.call_tool("suggest_tests", {"candidates": "mesothelioma | lung adenocarcinoma"}))
        assert [one["name"] for one in plan["candidates"]] == ["Pleural mesothelioma", "Lung adenocarcinoma"]
        assert plan["verdict"] == "order"
        known = told(await client.call_tool("look_up_knowledge", {"text": "TTF-1"}))
        assert known
        assert (await client.call_tool("ask_about_slide", asked | {"region": "1,2"})).is_error

    talk(server, about)
