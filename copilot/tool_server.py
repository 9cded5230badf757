"""The copilot's tools over the Model Context Protocol: an assistant asks about the slides it was given, no others.

Every tool goes through the same engine, findings and checker as the desk. No pixels are handed out: an assistant may
run elsewhere, and patients' pictures stay here. What it is told does go to it, so it should run on this machine too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from slides import Slide, UsageError, open_slide
from slides.errors import PathcopilotError, SetupError
from slides.naming import shown_name

from .answer import Done, Question, Turn, View
from .engine import Copilot
from .requests import inside, parse_options, parse_region
from .settle import entries

if TYPE_CHECKING:
    from mcp.server import MCPServer

FIX = 'pip install -c constraints.txt "pathcopilot[mcp]"'
INSTRUCTIONS = (
    "Tools over histology slides on this machine. Findings carry calibrated probabilities and places; repeat them as "
    "they are, with their uncertainty, and add no organ, diagnosis, marker or number of your own. Research software, "
    "not a medical device."
)

SlideName = Annotated[str, Field(description="Name of a slide, as list_slides gives it.")]
Box = Annotated[str, Field(description="X,Y,W,H in level-0 pixels; empty for the whole slide.")]
Context = Annotated[str, Field(description="Clinical context, in plain words; may be empty.")]


class Tools:
    """The tools, over slides by name; one call uses the models at a time.

    Parameters
    ----------
    load : makes the copilot, when it is first needed
    paths : slides, by their shown names
    """

    def __init__(self, load: Callable[[], Copilot], paths: Iterable[Path]) -> None:
        self._load = load
        self._copilot: Copilot | None = None
        self._paths = _named(paths)
        self._history: dict[str, list[Turn]] = {}
        self._lock = threading.RLock()

    def list_slides(self) -> list[dict[str, Any]]:
        """The slides that may be asked about: name, size in level-0 pixels, µm per pixel (null where unknown)."""
        return [self._described(name) for name in self._paths]

    def ask_about_slide(
        self,
        slide: SlideName,
        question: Annotated[str, Field(description="In plain words.")],
        region: Box = "",
        context: Context = "",
        options: Annotated[str, Field(description="A | B | C for a choice; empty for an open question.")] = "",
    ) -> dict[str, Any]:
        """Looks at a slide, or a box on it, and answers from calibrated findings; each sentence names its evidence.

        Earlier questions about the slide count as the conversation.
        """
        with self._opened(slide) as (view_of, copilot):
            earlier = tuple(self._history.setdefault(slide, [])[-6:])
            asked = Question(question, (view_of(region),), context or None, parse_options(options), earlier)
            answer = next(event.answer for event in copilot.ask(asked) if isinstance(event, Done))
            self._history[slide].append(Turn(question, answer.text))
            told = answer.as_json()
        kept = ("answer", "claims", "evidence", "abstained", "choice", "option_probabilities", "notes", "model")
        return {name: told[name] for name in kept}

    def inspect_slide(self, slide: SlideName) -> dict[str, Any]:
        """What a slide is: size, levels, scale, tissue, focus. No label, no macro image, no identifiers."""
        from slides.quality import measure_quality
        from slides.tissue import tissue_mask

        with self._lock, open_slide(self._path(slide)) as opened:
            mask = tissue_mask(opened)
            quality = [item.finding.as_json() for item in measure_quality(opened, opened.bounds, mask)]
            return opened.as_json() | {"name": slide, "removed": list(mask.removed), "quality": quality}

    def suggest_tests(
        self,
        candidates: Annotated[str, Field(description="Diagnoses with | between; empty for what the slide shows.")] = "",
        slide: Annotated[str, Field(description="Name of a slide; empty with candidates alone.")] = "",
        region: Box = "",
        context: Context = "",
    ) -> dict[str, Any]:
        """Ancillary tests (stains, molecular) in the order of how much each would settle, with sources. No result."""
        given = parse_options(candidates)
        if not slide:
            from .suggest import plan_tests

            return plan_tests(self._engine().knowledge, (), context=context or None, given=given).as_json()
        with self._opened(slide) as (view_of, copilot):
            made = copilot.suggest((view_of(region),), context=context or None, given=given, progress=_silent)
            return made.as_json()

    def draft_report(self, slide: SlideName, region: Box = "", context: Context = "") -> str:
        """A structured draft in Markdown whose every line names its finding or says that it was not assessed."""
        with self._opened(slide) as (view_of, copilot):
            return copilot.report((view_of(region),), context=context or None, progress=_silent).markdown()

    def look_up_knowledge(
        self, text: Annotated[str, Field(description="Names of markers or diagnoses, in plain words.")]
    ) -> list[dict[str, Any]]:
        """What the knowledge tables hold on markers and diagnoses, each with its source or that it has none."""
        cited = entries(self._engine().knowledge, text).cited
        return [{"text": one.text, "source": one.source} for one in cited]

    def all(self) -> Mapping[str, Callable[..., Any]]:
        """Every tool by its name."""
        made = (
            self.list_slides,
            self.inspect_slide,
            self.ask_about_slide,
            self.suggest_tests,
            self.draft_report,
            self.look_up_knowledge,
        )
        return {tool.__name__: tool for tool in made}

    def _described(self, name: str) -> dict[str, Any]:
        try:
            with open_slide(self._paths[name]) as slide:
                return {"name": name, "size": list(slide.size), "mpp": slide.mpp}
        except PathcopilotError as error:
            return {"name": name, "error": str(error)}

    def _path(self, name: str) -> Path:
        if name not in self._paths:
            raise UsageError(f"there is no slide {name!r}; there are: {', '.join(self._paths) or 'none'}")
        return self._paths[name]

    def _engine(self) -> Copilot:
        with self._lock:
            if self._copilot is None:
                self._copilot = self._load()
            return self._copilot

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[Callable[[str], View], Copilot]]:
        """What makes a view of a slide, and the copilot; the slide is closed on leaving."""
        with self._lock, open_slide(self._path(name)) as slide:
            yield (lambda region: _view(slide, region)), self._engine()


def serve_tools(tools: Tools) -> MCPServer[Any]:
    """The server with every tool; raises `SetupError` without the package `mcp`."""
    try:
        from mcp.server import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise SetupError(f"the tools' server needs the package mcp: {FIX}") from error
    from functools import wraps

    server: MCPServer[Any] = MCPServer("pathcopilot", instructions=INSTRUCTIONS, log_level="ERROR")
    for name, tool in tools.all().items():

        def told(*given: Any, _tool: Callable[..., Any] = tool, **named: Any) -> Any:
            try:
                return _tool(*given, **named)
            except PathcopilotError as error:
                raise ToolError(str(error)) from error

        server.tool(name=name)(wraps(tool)(told))
    return server


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by names that no other has; folders above a slide are never told."""
    named: dict[str, Path] = {}
    for path in paths:
        name = shown_name(path)
        same = sum(known == name or known.startswith(f"{name} (") for known in named)
        named[f"{name} ({same + 1})" if same else name] = path
    return named


def _view(slide: Slide, region: str) -> View:
    return View(slide, inside(slide, parse_region(region)) if region.strip() else None)


def _silent(_: str) -> None:
    """Standard output belongs to the protocol."""
