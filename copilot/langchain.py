"""The copilot in LangChain, and LangChain's chat models in the copilot.

A runnable like any other, whose messages carry slides::

    from langchain_core.messages import HumanMessage
    from langchain_core.output_parsers import StrOutputParser
    from copilot import Copilot
    from copilot.langchain import CopilotChatModel, slide_tool

    copilot = Copilot.load()
    chain = CopilotChatModel(copilot=copilot) | StrOutputParser()
    slide = {"type": "slide", "path": "case7.svs", "region": [1200, 800, 1024, 1024]}
    for piece in chain.stream([HumanMessage([{"type": "text", "text": "What is this?"}, slide])]):
        print(piece, end="", flush=True)

A tool for an agent with a larger chat model (`pip install "pathcopilot[chains]"`)::

    from langchain.agents import create_agent

    agent = create_agent(chat_model, [slide_tool(copilot, {"case 7": "case7.svs"})])
    agent.invoke({"messages": [{"role": "user", "content": "Is there tumour in case 7?"}]})

Tracing to LangSmith is off in a process that imports this module: prompts are patients' data.
"""

from __future__ import annotations

import os

os.environ["LANGSMITH_TRACING"] = "false"  # before langsmith reads them, and it reads them once
os.environ["LANGCHAIN_TRACING_V2"] = "false"

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, StructuredTool

from slides import Slide, UsageError, open_slide
from slides.errors import PathcopilotError

from .answer import Answer, Done, Event, Question, Saying, Turn, View
from .engine import Copilot
from .language.lettered import TOP, Lettered
from .language.model import Message
from .requests import checked_mpp, inside, parse_options, parse_region
from .uploads import data_uri, unpacked


class CopilotChatModel(BaseChatModel):
    """The copilot as a chat model: slides go in with a message, words come out as they are checked.

    A human message may hold, beside its text, any number of

    - `{"type": "slide", "path": …, "region": [x, y, width, height], "mpp": …}`, region and mpp optional;
    - `{"type": "image_url", "image_url": {"url": …}}` and `{"type": "image", "url": … | "base64": …}`,
      where a url is a path, a `file:` address or a `data:` URI; nothing is fetched from a network.

    A question without any is about the slides of the last one that had some. Earlier turns are the history.
    System messages are not obeyed: what the copilot says and checks is not for a prompt to decide.
    `invoke(…, options=("A", "B"), context="…")` asks for a choice and states the clinical context.

    `response_metadata` of the message, or of a stream's last chunk, holds `answer`: claims with status and
    evidence, findings, choice, hashes and timings, in the shape of `pathcopilot ask --json`.
    """

    copilot: Copilot

    model_config = {"arbitrary_types_allowed": True}  # noqa: RUF012 - pydantic's own name and form

    @property
    def _llm_type(self) -> str:
        return "pathcopilot"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = _finished(self._events(messages, stop, kwargs))
        message = AIMessage(content=answer.text, response_metadata=_metadata(answer))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for event in self._events(messages, stop, kwargs):
            if isinstance(event, Saying):
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=event.text))
            elif isinstance(event, Done):
                metadata = _metadata(event.answer)
                chunk = ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=metadata))
            else:
                continue
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _events(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> Iterator[Saying | Done]:
        if stop:
            raise UsageError("stop words would cut a claim from its evidence: ask without them")
        with _question(messages, options) as question:
            for event in self.copilot.ask(question):
                if isinstance(event, Saying | Done):
                    yield event


def slide_tool(copilot: Copilot, slides: Mapping[str, str | Path]) -> BaseTool:
    """A tool by which an agent asks about the named slides, and about no other file.

    The agent's model gets the answer's text and, for each claim, its status and evidence, as JSON.
    """
    names = ", ".join(slides)

    def ask_about_slide(slide: str, question: str, region: str = "") -> str:
        if slide not in slides:
            return f"There is no slide {slide!r}. The slides are: {names}."
        block: dict[str, Any] = {"type": "slide", "path": str(slides[slide])}
        if region:
            block["region"] = region
        try:
            with _question([HumanMessage([{"type": "text", "text": question}, block])], {}) as asked:
                answer = _finished(copilot.ask(asked))
        except PathcopilotError as error:
            return str(error)
        return json.dumps({key: answer.as_json()[key] for key in ("answer", "claims", "evidence", "abstained")})

    return StructuredTool.from_function(
        ask_about_slide,
        description=(
            f"Looks at a histology slide and answers a question about it from calibrated findings. Slides: {names}. "
            "`region` is X,Y,W,H in level-0 pixels, empty for the whole slide."
        ),
    )


class LangChainLanguage(Lettered):
    """A LangChain chat model as the copilot's `LanguageModel`.

    Its own settings say at what temperature it writes; where its requests go is its maker's affair, so a
    model on another machine sends the findings and the question there. Choices are put to it by letter.

    Attributes
    ----------
    name : the model's name, or its class where it states none
    sha256 : empty, since its weights are not seen here
    """

    sha256 = ""

    def __init__(self, model: BaseChatModel) -> None:
        self._model = model
        stated = getattr(model, "model_name", None) or getattr(model, "model", None)
        self.name = stated if isinstance(stated, str) else type(model).__name__

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 160,
        temperature: float = 0.0,
        seed: int = 0,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Pieces of text as the model gives them, at most `max_new_tokens` of them."""
        pieces = self._model.stream(_to_langchain(messages))
        for number, piece in enumerate(pieces):
            if number >= max_new_tokens or halted():
                return
            if piece.text:
                yield str(piece.text)

    def _reply(self, messages: Sequence[Message], *, likelihoods: bool) -> tuple[str, Any]:
        asked = _to_langchain(messages)
        if not likelihoods:
            return str(self._model.invoke(asked).text), None
        reply = self._model.bind(logprobs=True, top_logprobs=TOP).invoke(asked)
        return str(reply.text), reply.response_metadata.get("logprobs")


@contextmanager
def _question(messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> Iterator[Question]:
    """The last human message as a question, its slides open until the context is left."""
    humans = [message for message in messages if isinstance(message, HumanMessage)]
    if not humans or not str(humans[-1].text).strip():
        raise UsageError("the last human message holds no question: say in plain words what you want to know")
    blocks = next((found for message in reversed(humans) if (found := _blocks(message))), [])
    if not blocks:
        raise UsageError('no slide in the messages: add {"type": "slide", "path": …} to the question')
    with ExitStack() as stack:
        yield Question(
            text=str(humans[-1].text),
            views=tuple(_view(block, stack) for block in blocks),
            context=options.get("context"),
            options=parse_options(options.get("options")),
            history=_history(messages, humans[-1]),
        )


def _history(messages: Sequence[BaseMessage], last: HumanMessage) -> tuple[Turn, ...]:
    turns = []
    asked = ""
    for message in messages:
        if message is last:
            break
        if isinstance(message, HumanMessage):
            asked = str(message.text)
        elif isinstance(message, AIMessage) and asked:
            turns.append(Turn(asked, str(message.text)))
            asked = ""
    return tuple(turns)


def _blocks(message: HumanMessage) -> list[dict[str, Any]]:
    content = message.content if isinstance(message.content, list) else []
    return [
        block for block in content if isinstance(block, dict) and block.get("type") in ("slide", "image", "image_url")
    ]


def _view(block: Mapping[str, Any], stack: ExitStack) -> View:
    mpp = block.get("mpp")
    if mpp is not None and not isinstance(mpp, int | float):
        raise UsageError('"mpp" must be a number, µm per pixel')
    slide: Slide = stack.enter_context(open_slide(_path(block, stack), mpp=checked_mpp(mpp)))
    region = block.get("region")
    return View(slide, None if region is None else inside(slide, parse_region(region)))


def _path(block: Mapping[str, Any], stack: ExitStack) -> Path:
    """Where the slide or picture of a block lies; a picture inside the message is put into a folder that goes."""
    if block.get("base64"):
        return unpacked(str(block["base64"]), stack)
    given = block.get("path") or block.get("image_url") or block.get("url")
    address = str(given.get("url", "") if isinstance(given, Mapping) else given or "")
    if address.startswith("data:"):
        return data_uri(address, stack)
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if not address or "://" in address:
        raise UsageError("a picture must be a path, a file: address or a data: URI: nothing is fetched from a network")
    return Path(address)


def _finished(events: Iterator[Event]) -> Answer:
    """The answer at the end of a stream of events, which is read out so that all it opened is closed."""
    *_, last = events
    if not isinstance(last, Done):
        raise RuntimeError("the engine ended without an answer")
    return last.answer


def _metadata(answer: Answer) -> dict[str, Any]:
    return {"model_name": answer.model.language, "answer": answer.as_json()}


def _to_langchain(messages: Sequence[Message]) -> list[BaseMessage]:
    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return [kinds[message["role"]](content=message["content"]) for message in messages]
