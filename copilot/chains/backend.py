"""Any language model of the copilot as a LangChain chat model; one behind a server can call tools as well."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from slides.errors import SetupError, UsageError

from ..language.model import LanguageModel, Message

_ROLES: Mapping[str, Any] = {"system": "system", "human": "user", "ai": "assistant"}


class BackendChatModel(BaseChatModel):
    """The embedded model, one from a folder or the hub's cache, or a server's, as LangChain knows chat models.

    Nothing is checked here: what it says is the model's own. `CopilotChatModel` is the one that checks.

    Attributes
    ----------
    language : what `load_language` gives
    max_new_tokens, temperature, seed : as `LanguageModel.stream` takes them
    deadline : `time.monotonic()` after which a server is no longer waited for, None for as long as it takes
    """

    language: Any
    max_new_tokens: int = 220
    temperature: float = 0.0
    seed: int = 0
    deadline: float | None = None

    model_config = {"arbitrary_types_allowed": True}  # noqa: RUF012 - pydantic's own name and form

    @property
    def _llm_type(self) -> str:
        return "pathcopilot-language"

    def bind_tools(self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any) -> Any:
        """The same model, told of tools that it may call; raises `UsageError` for one that cannot."""
        require_tools(self.language)
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if (tools := kwargs.get("tools")) is not None:
            seconds = None if self.deadline is None else max(0.01, self.deadline - time.monotonic())
            asked = convert_to_openai_messages(messages)
            reply = self.language.converse(asked, tools, max_new_tokens=self.max_new_tokens, seconds=seconds)
            return _result(_from_openai(reply, self.language.name))
        return _result(AIMessage("".join(self._pieces(messages, stop)), response_metadata=self._metadata()))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        if kwargs.get("tools") is not None:
            message = self._generate(messages, stop, run_manager, **kwargs).generations[0].message
            yield ChatGenerationChunk(message=AIMessageChunk(**message.model_dump(exclude={"type"})))
            return
        for piece in self._pieces(messages, stop):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=self._metadata()))

    def _pieces(self, messages: Sequence[BaseMessage], stop: Sequence[str] | None) -> Iterator[str]:
        """The text piece by piece, up to the first of the stop words."""
        asked = [_turn(message) for message in messages]
        pieces = self.language.stream(
            asked, max_new_tokens=self.max_new_tokens, temperature=self.temperature, seed=self.seed
        )
        if not stop:
            yield from pieces
            return
        longest, held = max(map(len, stop)), ""
        for piece in pieces:
            held += piece
            if (end := min((place for word in stop if (place := held.find(word)) >= 0), default=-1)) >= 0:
                yield held[:end]
                return
            if len(held) >= longest:  # a stop word may begin in what is held back
                yield held[: len(held) - longest + 1]
                held = held[len(held) - longest + 1 :]
        yield held

    def _metadata(self) -> dict[str, Any]:
        return {"model_name": self.language.name, "weights_sha256": self.language.sha256}


def require_tools(language: LanguageModel | Any) -> None:
    """Raises `UsageError` for a language model that cannot call tools."""
    if not hasattr(language, "converse"):
        raise UsageError(
            f"{language.name} calls no tools: that takes a server's model, --language http://127.0.0.1:PORT/v1"
        )


def _turn(message: BaseMessage) -> Message:
    role = _ROLES.get(message.type)
    if role is None:
        raise UsageError(f"a {message.type} message can only be put to a model that calls tools")
    return {"role": role, "content": str(message.text)}


def _from_openai(reply: Mapping[str, Any], name: str) -> AIMessage:
    """A reply of OpenAI's form; a call whose arguments are no object is kept as an invalid one."""
    calls, invalid = [], []
    for number, call in enumerate(reply.get("tool_calls") or ()):
        try:
            made, told = call["function"]["name"], call["function"].get("arguments") or "{}"
        except (KeyError, TypeError, AttributeError) as error:
            raise SetupError(f"the server of {name} calls tools in another form than OpenAI's") from error
        id = str(call.get("id") or f"call-{number}")
        try:
            arguments = told if isinstance(told, dict) else json.loads(told)
        except (ValueError, TypeError):
            arguments = None
        if isinstance(arguments, dict):
            calls.append({"name": str(made), "args": arguments, "id": id, "type": "tool_call"})
        else:
            why = "the arguments are no JSON object"
            invalid.append({"name": str(made), "args": str(told), "id": id, "error": why, "type": "invalid_tool_call"})
    content = reply.get("content")
    return AIMessage(
        content if isinstance(content, str) else "",
        tool_calls=calls,
        invalid_tool_calls=invalid,
        response_metadata={"model_name": name},
    )


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])
