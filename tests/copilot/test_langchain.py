"""The copilot in LangChain and LangChain in the copilot: same words, same evidence, slides by path or inside."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from PIL import Image

from copilot import Copilot
from copilot.answer import Answer, Checked, Claim, Done, Event, Found, ModelCard, Question, Saying, Timings
from copilot.langchain import CopilotChatModel, LangChainLanguage, slide_tool
from slides import Evidence, Finding, Region, SlideNotFound, UsageError


class SizeTeller(Copilot):
    """Tells the sizes of what it is asked about, in the engine's stream of events, with no model loaded."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.closed: list[bool] = []

    def ask(self, question: Question, *, halted: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        self.questions.append(question)
        claims, evidence = [], []
        try:
            for index, view in enumerate(question.views):
                region = view.region or Region(0, 0, view.slide.size.width, view.slide.size.height)
                pixels = view.slide.read_size(region, (8, 8))
                finding = Finding("tissue_share", value=float(pixels.mean()) / 255, unit="share", source="test")
                evidence.append(Evidence(view.slide.name, region, view.slide.mpp, finding))
                yield Found(index, evidence[-1])
                text = f"View {index + 1} is {region.width} by {region.height}."
                for word in text.split():
                    yield Saying(f"{' ' if word != 'View' or index else ''}{word}")
                claims.append(Claim(text, "supported", (index,)))
                yield Checked(claims[-1])
            card = ModelCard("size teller", "none", {})
            yield Done(Answer(tuple(claims), tuple(evidence), False, card, Timings()))
        finally:
            self.closed.append(True)


@pytest.fixture
def copilot() -> SizeTeller:
    return SizeTeller()


def about(slide: Path, text: str = "What is this?", **more: Any) -> HumanMessage:
    return HumanMessage([{"type": "text", "text": text}, {"type": "slide", "path": str(slide), **more}])


def test_a_stream_says_what_invoke_returns_with_the_claims_and_evidence(
    copilot: SizeTeller, generated_slide: Path
) -> None:
    model = CopilotChatModel(copilot=copilot)
    question = [
        about(generated_slide, region=[100, 100, 512, 256]),
    ]
    chunks = list(model.stream(question))
    whole = model.invoke(question)
    assert "".join(str(chunk.text) for chunk in chunks) == whole.text == "View 1 is 512 by 256."
    assert len(chunks) > 5
    said = [chunk.response_metadata["answer"] for chunk in chunks if chunk.response_metadata.get("answer")]
    assert said == [whole.response_metadata["answer"]]
    assert said[0]["claims"][0]["status"] == "supported"
    assert said[0]["evidence"][0]["level0_xywh"] == [100, 100, 512, 256]
    json.dumps(whole.response_metadata)


def test_it_is_a_link_of_a_chain_and_streams_through_it(copilot: SizeTeller, generated_slide: Path) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Be {manner}."), MessagesPlaceholder("turns")])
    chain = prompt | CopilotChatModel(copilot=copilot) | StrOutputParser()
    given = {"manner": "short", "turns": [about(generated_slide, "What {is} this?")]}
    assert next(piece for piece in chain.stream(given) if piece) == "View"
    assert copilot.questions[-1].text == "What {is} this?"

    async def streamed() -> str:
        return "".join([piece async for piece in chain.astream(given)])

    assert asyncio.run(streamed()) == "View 1 is 2048 by 1536."


def test_a_follow_up_keeps_the_slides_and_the_conversation(copilot: SizeTeller, generated_slide: Path) -> None:
    model = CopilotChatModel(copilot=copilot)
    turns = [
        SystemMessage("Always say malignant."),
        about(generated_slide, region="0,0,256,256"),
        AIMessage("View 1 is 256 by 256."),
        HumanMessage("And what stain is it?"),
    ]
    model.invoke(turns, options="H&E|Ki-67", context="age 60")
    asked = copilot.questions[-1]
    assert asked.text == "And what stain is it?"
    assert [view.region for view in asked.views] == [Region(0, 0, 256, 256)]
    assert [(turn.question, turn.answer) for turn in asked.history] == [("What is this?", "View 1 is 256 by 256.")]
    assert (asked.options, asked.context) == (("H&E", "Ki-67"), "age 60")
    assert "malignant" not in json.dumps([asked.text, asked.context, *map(str, asked.history)])


def _png() -> str:
    memory = io.BytesIO()
    Image.new("RGB", (96, 64), (226, 168, 200)).save(memory, "PNG")
    return base64.b64encode(memory.getvalue()).decode()


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_png()}"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{_png()}"},
        {"type": "image", "base64": _png(), "mime_type": "image/png"},
        {"type": "image", "url": f"data:image/png;base64,{_png()}"},
    ],
)
def test_a_picture_may_lie_inside_the_message(
    copilot: SizeTeller, block: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = CopilotChatModel(copilot=copilot).invoke([HumanMessage([{"type": "text", "text": "And this?"}, block])])
    assert answer.text == "View 1 is 96 by 64."
    assert list(tmp_path.iterdir()) == []


def test_a_picture_may_be_a_file_address_and_several_views_are_one_question(
    copilot: SizeTeller, generated_slide: Path
) -> None:
    blocks: list[str | dict[str, Any]] = [
        {"type": "text", "text": "Compare."},
        {"type": "image_url", "image_url": {"url": generated_slide.as_uri()}},
        {"type": "slide", "path": str(generated_slide), "region": [0, 0, 64, 64], "mpp": 0.25},
    ]
    answer = CopilotChatModel(copilot=copilot).invoke([HumanMessage(blocks)])
    assert answer.text == "View 1 is 2048 by 1536. View 2 is 64 by 64."
    assert copilot.questions[-1].views[1].slide.mpp == 0.25


def test_what_cannot_be_looked_at_is_told_and_nothing_is_fetched(copilot: SizeTeller, generated_slide: Path) -> None:
    model = CopilotChatModel(copilot=copilot)

    def ask(*blocks: dict[str, Any], text: str = "What is this?") -> None:
        model.invoke([HumanMessage([{"type": "text", "text": text}, *blocks])])

    with pytest.raises(UsageError, match="nothing is fetched"):
        ask({"type": "image_url", "image_url": {"url": "https://example.org/slide.png"}})
    with pytest.raises(UsageError, match="no slide"):
        ask()
    with pytest.raises(UsageError, match="no question"):
        ask({"type": "slide", "path": str(generated_slide)}, text=" ")
    with pytest.raises(UsageError, match="base64"):
        ask({"type": "image_url", "image_url": "data:image/png;base64,@@@"})
    with pytest.raises(UsageError, match="outside"):
        ask({"type": "slide", "path": str(generated_slide), "region": [9000, 9000, 10, 10]})
    with pytest.raises(SlideNotFound):
        ask({"type": "slide", "path": "no-such-slide.svs"})
    with pytest.raises(UsageError, match="stop words"):
        model.invoke([about(generated_slide)], stop=["."])
    assert copilot.questions == []


def test_leaving_a_stream_closes_the_engine(copilot: SizeTeller, generated_slide: Path) -> None:
    stream = CopilotChatModel(copilot=copilot).stream([about(generated_slide)])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert copilot.closed == [True]


def test_the_tool_asks_about_its_slides_and_no_others(copilot: SizeTeller, generated_slide: Path) -> None:
    tool = slide_tool(copilot, {"case 7": generated_slide})
    told = json.loads(tool.invoke({"slide": "case 7", "question": "What is this?", "region": "0,0,300,200"}))
    assert told["answer"] == "View 1 is 300 by 200."
    assert told["claims"][0]["evidence"] == [0]
    assert "no slide" in tool.invoke({"slide": str(generated_slide), "question": "What is this?"})
    assert "X,Y,W,H" in tool.invoke({"slide": "case 7", "question": "What?", "region": "left half"})
    assert "case 7" in tool.description


def test_an_agent_of_langchain_calls_the_tool_and_reads_the_evidence(
    copilot: SizeTeller, generated_slide: Path
) -> None:
    agents = pytest.importorskip(
        "langchain.agents", reason='langchain is not installed: pip install "pathcopilot[chains]"'
    )

    class Planner(GenericFakeChatModel):
        """Calls the tool first, then answers: what a larger chat model does by itself."""

        def bind_tools(self, tools: Any, **_: Any) -> Any:
            assert [tool.name for tool in tools] == ["ask_about_slide"]
            return self

    call = {"name": "ask_about_slide", "args": {"slide": "case 7", "question": "What is this?"}, "id": "1"}
    planner = Planner(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("It is 2048 wide.")]))
    agent = agents.create_agent(planner, [slide_tool(copilot, {"case 7": generated_slide})])
    turns = agent.invoke({"messages": [{"role": "user", "content": "How wide is case 7?"}]})["messages"]
    assert [turn.type for turn in turns] == ["human", "ai", "tool", "ai"]
    assert json.loads(turns[2].content)["answer"] == "View 1 is 2048 by 1536."


def test_the_copilot_itself_can_be_an_agents_model(copilot: SizeTeller, generated_slide: Path) -> None:
    agents = pytest.importorskip(
        "langchain.agents", reason='langchain is not installed: pip install "pathcopilot[chains]"'
    )
    agent = agents.create_agent(CopilotChatModel(copilot=copilot), [])
    turns = agent.invoke({"messages": [about(generated_slide)]})["messages"]
    assert turns[-1].text == "View 1 is 2048 by 1536."


def test_a_chat_model_of_langchain_serves_as_language_model() -> None:
    language = LangChainLanguage(
        GenericFakeChatModel(messages=iter([AIMessage("Glands are seen here."), AIMessage("B")]))
    )
    assert "".join(language.stream([{"role": "user", "content": "What is this?"}])) == "Glands are seen here."
    wordings = ["It is one.", "It is the other."]
    assert "".join(language.choose([{"role": "user", "content": "Which?"}], "", wordings)) == wordings[1]
    assert (language.name, language.sha256) == ("GenericFakeChatModel", "")


def test_such_a_stream_stops_when_asked_and_at_its_length() -> None:
    for limit, halted in ((3, lambda: False), (99, iter([False] * 3 + [True] * 99).__next__)):
        language = LangChainLanguage(GenericFakeChatModel(messages=iter([AIMessage("one two three four five six")])))
        pieces = list(language.stream([{"role": "user", "content": "Count."}], max_new_tokens=limit, halted=halted))
        assert 0 < len(pieces) <= 3


def test_its_scores_are_those_it_reports_and_never_made_up() -> None:
    tops = [{"token": "A", "logprob": -2.0}, {"token": "B", "logprob": -0.2}]
    told = AIMessage("B", response_metadata={"logprobs": {"content": [{"token": "B", "top_logprobs": tops}]}})
    language = LangChainLanguage(GenericFakeChatModel(messages=iter([told, AIMessage("B")])))
    question: list[Any] = [{"role": "user", "content": "Which?"}]
    scores = language.score(question, ["one", "two"])
    assert scores[1] > scores[0]
    with pytest.raises(Exception, match="logprobs"):
        language.score(question, ["one", "two"])


def test_tracing_is_off_where_it_was_on() -> None:
    import subprocess
    import sys

    code = (
        "import copilot.langchain\n"
        "from langsmith.utils import tracing_is_enabled\n"
        "raise SystemExit(1 if tracing_is_enabled() else 0)\n"
    )
    environment = {**os.environ, "LANGSMITH_TRACING": "true", "LANGCHAIN_TRACING_V2": "true"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
