"""Agents: a model on loopback calls the copilot's tools, bounded and logged, and says only what stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langgraph", reason='langgraph is not installed: pip install "pathcopilot[chains]"')

from copilot import Copilot
from copilot.answer import Answer, Checked, Done, Event, Found, Question, Saying, View
from copilot.chains.agent import Agent, Limits
from copilot.chains.backend import BackendChatModel
from copilot.language import load_language
from slides import Region, Slide, UsageError, open_slide
from slides.errors import PathcopilotError

from .scripted_model import ScriptedModel
from .scripted_server import Script, call, say, serving

BOX = Region(500, 400, 1000, 700)


@pytest.fixture(scope="module")
def eye() -> Any:
    from vision_encoder.look import load_eye

    try:
        return load_eye()
    except PathcopilotError as error:
        pytest.skip(str(error))


@pytest.fixture
def slide(generated_slide: Path) -> Iterator[Slide]:
    with open_slide(generated_slide) as opened:
        yield opened


@pytest.fixture
def asked(eye: Any, slide: Slide) -> Callable[..., tuple[Answer, list[Event], list[dict[str, Any]]]]:
    """Asks an agent whose model follows a script; its answer, its events, and what the server was asked."""

    def ask(script: Script, limits: Limits | None = None, pause: float = 0.0, text: str = "What is this?") -> Any:
        with serving(script, pause) as server:
            agent = Agent(Copilot(eye, load_language(server.url)), limits)
            events = list(agent.ask(Question(text, (View(slide, BOX),), context="colon biopsy")))
            assert isinstance(events[-1], Done)
            return events[-1].answer, events, server.asked

    return ask


def test_it_looks_closer_and_its_words_are_checked_against_all_that_it_saw(asked: Any) -> None:
    def script(request: dict[str, Any]) -> dict[str, Any]:
        told = [turn["content"] for turn in request["messages"] if turn["role"] == "tool"]
        if not told:
            return call(
                ("inspect_region", {"region": "600,500,400,400"}),
                ("look_up_knowledge", {"text": "CDX2"}),
                ("suggest_tests", {"candidates": "colorectal adenocarcinoma|lung adenocarcinoma"}),
            )
        if len(told) == 3:
            return call(("similar_tiles", {"view": 1}))
        sentences = [line[2:] for line in told[0].splitlines() if line.startswith("- ")]
        knowledge = [line[2:] for line in told[1].splitlines() if line.startswith("- ")]
        return say(f"{sentences[-1]} {knowledge[0]} The tumour is HER2 positive.")

    answer, events, requests = asked(script)
    assert [(step.tool, step.status) for step in answer.steps] == [
        ("inspect_region", "done"),
        ("look_up_knowledge", "done"),
        ("suggest_tests", "done"),
        ("similar_tiles", "done"),
    ]
    names = [tool["function"]["name"] for tool in requests[0]["tools"]]
    assert names == ["inspect_region", "similar_tiles", "look_up_knowledge", "suggest_tests"]
    given = [turn["content"] for turn in requests[-2]["messages"] if turn["role"] == "tool"] or [
        turn["content"] for turn in requests[2]["messages"] if turn["role"] == "tool"
    ]
    assert [step.told for step in answer.steps][: len(given)] == given
    assert all(step.sha256 == hashlib.sha256(step.told.encode()).hexdigest() for step in answer.steps)
    looked = answer.steps[0].evidence
    assert looked
    assert all(answer.evidence[index].region.xywh[:2] != BOX.xywh[:2] for index in looked)
    assert [event.index for event in events if isinstance(event, Found)] == list(range(len(answer.evidence)))
    assert "HER2" not in answer.text
    assert next(claim.text for claim in answer.claims if claim.status == "struck") == "The tumour is HER2 positive."
    assert any(claim.status == "knowledge" and "CDX2" in claim.text for claim in answer.claims)
    shown = "".join(event.text for event in events if isinstance(event, Saying))
    assert shown.split() == answer.text.split()
    told = json.loads(json.dumps(answer.as_json()))["steps"]
    assert told[0]["arguments"] == {"region": "600,500,400,400"}


def test_what_it_may_not_see_or_ask_is_told_to_it_and_logged(asked: Any) -> None:
    def script(request: dict[str, Any]) -> dict[str, Any]:
        if not any(turn["role"] == "tool" for turn in request["messages"]):
            return call(
                ("delete_slide", {}),
                ("inspect_region", {"view": 7}),
                ("inspect_region", {"region": "0,0,50,50"}),
                ("inspect_region", {"view": "first"}),
                ("similar_tiles", "not json"),
            )
        return say("That is all.")

    answer, _, requests = asked(script)
    assert [step.status for step in answer.steps] == ["failed"] * 4 + ["refused"]
    told = [turn["content"] for turn in requests[1]["messages"] if turn["role"] == "tool"]
    for said, word in zip(told, ("no tool", "no view 7", "outside the view", "do not fit", "no JSON"), strict=True):
        assert word in said
    assert answer.text


def test_the_number_of_calls_is_bounded_and_then_an_answer_is_asked_for(asked: Any) -> None:
    def script(request: dict[str, Any]) -> dict[str, Any]:
        if "tools" not in request:
            return say("I see a tumour of the lung.")
        return call(("look_up_knowledge", {"text": f"CK{len(request['messages'])}"}))

    answer, _, requests = asked(script, Limits(steps=3))
    assert [step.status for step in answer.steps] == ["done"] * 3
    first = [request for request in requests if not request.get("stream")]
    assert ["tools" in request for request in first[:4]] == [True, True, True, False]
    assert "No further tools" in first[3]["messages"][-1]["content"]
    assert any("made its 3 calls" in note for note in answer.notes)
    assert "lung" not in answer.text


def test_the_same_call_is_not_made_twice(asked: Any) -> None:
    def script(request: dict[str, Any]) -> dict[str, Any]:
        return call(("look_up_knowledge", {"text": "CDX2"})) if "tools" in request else say("")

    answer, _, _ = asked(script, Limits(steps=50))
    assert [step.status for step in answer.steps] == ["done", "refused", "refused"]
    assert "step 1" in answer.steps[1].told
    assert any("repeated its calls" in note for note in answer.notes)
    assert answer.text


def test_its_time_is_bounded_also_while_the_server_thinks(asked: Any) -> None:
    answer, events, requests = asked(lambda request: say("Late."), Limits(seconds=0.2), pause=1.5)
    assert any("0.2 s" in note for note in answer.notes)
    assert answer.text
    assert answer.steps == ()
    assert len([request for request in requests if "tools" in request]) <= 1  # none where looking took that long
    assert all(event.claim.status != "struck" for event in events if isinstance(event, Checked))


def test_only_a_model_that_calls_tools_can_be_an_agent(eye: Any) -> None:
    with pytest.raises(UsageError, match="calls no tools"):
        Agent(Copilot(eye, ScriptedModel()))


def test_the_command_asks_through_an_agent(generated_slide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from copilot.cli import app

    def script(request: dict[str, Any]) -> dict[str, Any]:
        if any(turn["role"] == "tool" for turn in request["messages"]):
            return say("It is grade 3.")
        return call(("inspect_region", {"region": "600,500,400,400"}))

    command = ["ask", str(generated_slide), "-q", "What is this?", "--region", "500,400,1000,700", "--agent"]
    with serving(script) as server:
        done = CliRunner().invoke(app, [*command, "--language", server.url, "--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout.strip().splitlines()[-1])
    assert [step["tool"] for step in told["steps"]] == ["inspect_region"]
    assert "grade 3" not in told["answer"]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, UsageError)
    assert "--language http://127.0.0.1:PORT/v1" in str(refused.exception)


def test_a_servers_model_is_one_of_langchain_and_calls_tools_there() -> None:
    from langchain_core.messages import HumanMessage, SystemMessage

    def script(request: dict[str, Any]) -> dict[str, Any]:
        return call(("look", {"x": 3})) if request.get("tools") else say("Glands are seen. STOP And more.")

    def look(x: int) -> str:
        """Looks."""
        return str(x)

    turns = [SystemMessage("Be short."), HumanMessage("What is this?")]
    with serving(script) as server:
        model = BackendChatModel(language=load_language(server.url))
        assert model.invoke(turns).text == "Glands are seen. STOP And more."
        assert "".join(str(chunk.text) for chunk in model.stream(turns, stop=["STOP"])) == "Glands are seen. "
        reply = model.bind_tools([look]).invoke(turns)
        assert [(one["name"], one["args"]) for one in reply.tool_calls] == [("look", {"x": 3})]
        assert server.asked[-1]["messages"][0] == {"role": "system", "content": "Be short."}
    with pytest.raises(UsageError, match="calls no tools"):
        BackendChatModel(language=ScriptedModel("x")).bind_tools([look])
