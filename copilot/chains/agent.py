"""An agent: a tool-calling language model decides what else to look at, and what it says is checked like all else.

A LangGraph of two nodes, `think` and `act`. What was asked about is looked at first, whatever the model wants.
Four things bound it: a number of steps, a time, a guard against the same call twice, and the checker, which strikes
each sentence of the final text that no finding, citation or word of the user supports. What the text leaves out or
loses is said by the plain templates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slides.errors import SetupError

from ..answer import Done, Event, Found, Looking, Question
from ..engine import Copilot, Looked, never
from ..language.model import LanguageModel, Message
from ..plan import plan
from ..statements import Seen
from .backend import BackendChatModel, require_tools
from .inquiry import Inquiry

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

CHAINS_FIX = 'pip install -c constraints.txt "pathcopilot[chains]"'
MAX_LOOPS = 2
"""Repeated calls after which the model is asked for its answer."""

INSTRUCTIONS = (
    "You help a pathologist. Use the tools to look closer where that could change the answer: parts of a view, "
    "similar reference tiles, knowledge of markers and diagnoses, tests that would separate candidates. Then answer "
    "in short, plain, exact sentences, in the words of what you were told. Never add a number, an organ, a diagnosis "
    "or a marker that you were not told."
)
CLOSING = "No further tools can be used. Answer the question now from what you were told."


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls an agent may make, and for how many seconds it may go on."""

    steps: int = 6
    seconds: float = 120.0


class Agent:
    """The copilot with an agent in front: `ask` gives the same events, and the answer holds the steps taken."""

    def __init__(self, copilot: Copilot, limits: Limits | None = None) -> None:
        """Raises `UsageError` for a language model that calls no tools, `SetupError` without LangGraph."""
        require_tools(copilot.language)
        try:
            import langgraph.graph  # noqa: F401
        except ImportError as error:
            raise SetupError(f"an agent needs LangGraph: {CHAINS_FIX}") from error
        self.copilot = copilot
        self.limits = limits or Limits()

    def ask(self, question: Question, *, halted: Callable[[], bool] = never) -> Iterator[Event]:
        """The events of one answer; the last is `Done`, also after a stop."""
        todo = plan(question.text, views=len(question.views))
        inquiry = Inquiry(self.copilot, question, halted)
        shown = 0
        for view in question.views:
            observation = yield from self.copilot.observe(view, context=question.context, halted=halted)
            inquiry.saw(view, Seen(observation, len(inquiry.evidence)))
            shown = yield from _found(inquiry, shown)
        run = _Run(self.copilot.language, inquiry, self.limits, halted)
        for what in run.steps(question):
            yield Looking(what)
            shown = yield from _found(inquiry, shown)
        looked = Looked(inquiry.question, todo, inquiry.seen, inquiry.evidence, inquiry.cited)
        voice = _Voice(self.copilot.language, run.text, run.deadline)
        for event in self.copilot.answer(looked, voice, wording="free", halted=halted):
            if isinstance(event, Done):
                answer = replace(event.answer, steps=tuple(inquiry.steps), notes=(*event.answer.notes, *run.notes))
                yield Done(answer)
            else:
                yield event


def _found(inquiry: Inquiry, shown: int) -> Generator[Event, None, int]:
    for index in range(shown, len(inquiry.evidence)):
        yield Found(index, inquiry.evidence[index])
    return len(inquiry.evidence)


class _Run:
    """One run of the graph.

    Attributes
    ----------
    text : what the model answered in the end, empty where it did not come to that
    notes : why it was cut short
    """

    def __init__(self, language: LanguageModel, inquiry: Inquiry, limits: Limits, halted: Callable[[], bool]) -> None:
        self.inquiry, self.limits, self.halted = inquiry, limits, halted
        self.deadline = time.monotonic() + limits.seconds
        self.model = BackendChatModel(language=language, deadline=self.deadline)
        self.text = ""
        self.notes: list[str] = []

    def steps(self, question: Question) -> Iterator[str]:
        """Runs to the end and names each step as it is done."""
        for update in self._graph().stream(
            {"messages": self._opening(question)},
            {"recursion_limit": 2 * self.limits.steps + 6},
            stream_mode="updates",
        ):
            for node, change in update.items():
                last = change["messages"][-1]
                if node == "think":
                    self.text = str(last.text)
                    for call in last.tool_calls:
                        yield f"agent: {call['name'].replace('_', ' ')}"

    def _graph(self) -> Any:
        from langgraph.graph import END, START, MessagesState, StateGraph

        graph = StateGraph(MessagesState)
        graph.add_node("think", self._think)
        graph.add_node("act", self._act)
        graph.add_edge(START, "think")
        graph.add_conditional_edges("think", self._next, {"act": "act", "end": END})
        graph.add_edge("act", "think")
        return graph.compile()

    def _opening(self, question: Question) -> list[BaseMessage]:
        from langchain_core.messages import HumanMessage, SystemMessage

        told = [self.inquiry.told(seen) for seen in self.inquiry.seen]
        context = [f"Clinical context: {question.context}"] if question.context else []
        asked = "\n\n".join([*told, *context, f"Question: {question.text}"])
        return [SystemMessage(INSTRUCTIONS), HumanMessage(asked)]

    def _think(self, state: Any) -> dict[str, Any]:
        from langchain_core.messages import AIMessage, HumanMessage

        why = self._closed()
        if why:
            self._note(why)
        if self.halted() or time.monotonic() >= self.deadline:
            return {"messages": [AIMessage("")]}
        turns = state["messages"] if not why else [*state["messages"], HumanMessage(CLOSING)]
        model = self.model.bind_tools([] if why else self.inquiry.tools())
        try:
            return {"messages": [model.invoke(turns)]}
        except SetupError:
            if time.monotonic() < self.deadline:
                raise
            self._note(self._closed())
            return {"messages": [AIMessage("")]}

    def _act(self, state: Any) -> dict[str, Any]:
        from langchain_core.messages import ToolMessage

        last = state["messages"][-1]
        done = []
        for call in last.tool_calls:
            if why := self._closed():
                told = self.inquiry.note(call["name"], call["args"], f"Not done: {why}")
            else:
                told = self.inquiry.call(call["name"], call["args"])
            done.append(ToolMessage(told, tool_call_id=call["id"]))
        for call in last.invalid_tool_calls:
            told = self.inquiry.note(call["name"], {"text": call["args"]}, f"Not done: {call['error']}.")
            done.append(ToolMessage(told, tool_call_id=call["id"]))
        return {"messages": done}

    def _next(self, state: Any) -> str:
        last = state["messages"][-1]
        called = last.tool_calls or last.invalid_tool_calls
        return "act" if called and not self._closed() else "end"

    def _closed(self) -> str:
        """Why no further call may be made, empty where one may."""
        if self.halted():
            return "it was stopped."
        if time.monotonic() >= self.deadline:
            return f"the agent has had its {self.limits.seconds:g} s."
        if len(self.inquiry.steps) >= self.limits.steps:
            return f"the agent has made its {self.limits.steps} calls."
        if self.inquiry.loops >= MAX_LOOPS:
            return "the agent repeated its calls."
        return ""

    def _note(self, why: str) -> None:
        note = f"Cut short: {why}"
        if note not in self.notes:
            self.notes.append(note)


class _Voice:
    """The agent's text as a language model says it; when a sentence is struck, the model behind it is asked.

    After the deadline that model is asked no more, and the plain templates speak.
    """

    def __init__(self, language: LanguageModel, text: str, deadline: float) -> None:
        self._language, self._deadline = language, deadline
        self._texts = [text]
        self.name, self.sha256 = language.name, language.sha256
        self.sees = ("records",)
        self.score = language.score

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 160,
        temperature: float = 0.0,
        seed: int = 0,
        halted: Callable[[], bool] = never,
    ) -> Iterator[str]:
        """The agent's text, and from the second time on the model's own."""
        if self._texts:
            yield self._texts.pop()
        elif time.monotonic() < self._deadline:
            yield from self._language.stream(
                messages, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, halted=halted
            )

    def choose(
        self,
        messages: Sequence[Message],
        said: str,
        wordings: Sequence[str],
        *,
        halted: Callable[[], bool] = never,
    ) -> Iterator[str]:
        """The wording that the model behind it chooses, after the deadline the first."""
        if time.monotonic() < self._deadline:
            yield from self._language.choose(messages, said, wordings, halted=halted)
        else:
            yield wordings[0]
