"""What an agent may do about one question, what came of it, and the log of every call that it made."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import ValidationError

from slides import Evidence, Region, UsageError
from slides.errors import PathcopilotError

from ..answer import Question, Step, View
from ..check import Cited
from ..engine import Copilot
from ..plan import plan
from ..requests import inside, parse_options, parse_region
from ..say import Material, compose
from ..settle import Settled, entries, planned
from ..statements import Seen
from ..suggest import plan_tests

LOOK = plan("what is this, and how cellular?", views=1)
NEAREST = 5


class Inquiry:
    """The views looked at, their evidence, citations from the tables, and the steps taken.

    Attributes
    ----------
    question : with a view for each one looked at, in the order of `seen`
    seen, evidence : as the engine keeps them
    cited : statements of the tables that a tool gave
    steps : every call, also those that were refused or failed
    loops : calls that were refused because they had been made before
    """

    def __init__(self, copilot: Copilot, question: Question, halted: Callable[[], bool]) -> None:
        self.question = replace(question, views=())
        self.seen: list[Seen] = []
        self.evidence: list[Evidence] = []
        self.cited: list[Cited] = []
        self.steps: list[Step] = []
        self.loops = 0
        self._copilot, self._halted = copilot, halted
        self._asked = question.views
        self._made: dict[str, int] = {}

    def tools(self) -> list[BaseTool]:
        """The tools as LangChain knows them, for a model to be told of; `call` runs them."""
        made = (self.inspect_region, self.similar_tiles, self.look_up_knowledge, self.suggest_tests)
        return [StructuredTool.from_function(tool) for tool in made]

    def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Runs one call unless it was made before; what the model is told of it. Every call is logged."""
        key = json.dumps([name, arguments], sort_keys=True, default=str)
        if (earlier := self._made.get(key)) is not None:
            self.loops += 1
            return self._logged(
                name, arguments, "refused", f"The same call was made in step {earlier}: use its result."
            )
        self._made[key] = len(self.steps) + 1
        tool = next((tool for tool in self.tools() if tool.name == name), None)
        if tool is None:
            names = ", ".join(tool.name for tool in self.tools())
            return self._logged(name, arguments, "failed", f"There is no tool {name}. The tools are: {names}.")
        before, started = len(self.evidence), time.perf_counter()
        try:
            told, status = str(tool.invoke(dict(arguments))), "done"
        except (PathcopilotError, ToolException) as error:
            told, status = str(error), "failed"
        except ValidationError as error:
            told, status = f"The arguments do not fit: {error.errors()[0]['msg']}", "failed"
        return self._logged(name, arguments, status, told, before, time.perf_counter() - started)

    def note(self, name: str, arguments: Mapping[str, object], told: str) -> str:
        """Logs a call that is not made, with the reason."""
        return self._logged(name, arguments, "refused", told)

    def look(self, view: View) -> Seen:
        """Looks at one more view, which every answer may then rest on."""
        looking = self._copilot.observe(view, context=self.question.context, halted=self._halted)
        while True:
            try:
                next(looking)
            except StopIteration as end:
                return self.saw(view, Seen(end.value, len(self.evidence)))

    def saw(self, view: View, seen: Seen) -> Seen:
        """Takes an observation in."""
        self.seen.append(seen)
        self.evidence += seen.observation.evidence
        self.seen = [replace(one, label=f"View {number}") for number, one in enumerate(self.seen, 1)]
        if len(self.seen) == 1:
            self.seen = [replace(self.seen[0], label="")]
        self.question = replace(self.question, views=(*self.question.views, view))
        return self.seen[-1]

    def told(self, seen: Seen) -> str:
        """What was seen in a view, in sentences that may be repeated."""
        statements = compose(LOOK, Material((replace(seen, label=""),)))
        where = ",".join(map(str, seen.observation.region.xywh))
        said = "\n".join(f"- {statement.wordings[0]}" for statement in statements)
        return f"{seen.label or 'View 1'}, {seen.observation.slide}, region {where} in level-0 pixels:\n{said}"

    def inspect_region(self, view: int = 1, region: str = "") -> str:
        """Looks at a part of a view: what the tissue is, how sure that is, and measures of nuclei.

        Args:
            view: number of the view that was asked about, from 1.
            region: X,Y,W,H in level-0 pixels within that view; empty for all of it.
        """
        return self.told(self.look(self._part(view, region)))

    def similar_tiles(self, view: int = 1, region: str = "") -> str:
        """Finds the reference tiles that a part of a view resembles most. A likeness is no diagnosis.

        Args:
            view: number of the view that was asked about, from 1.
            region: X,Y,W,H in level-0 pixels within that view; empty for all of it.
        """
        from vision_encoder.index import of_atlas, tile_features_of
        from vision_encoder.novelty import NOVELTY_LEVEL

        atlas = self._copilot.eye.atlas
        if atlas is None:
            raise UsageError("there are no reference cases for this encoder")
        part = self._part(view, region)
        _, features = tile_features_of(self._copilot.eye.encoder, part.slide, part.region)
        if atlas.novelty(features) < NOVELTY_LEVEL:
            return "This is unlike all of the reference cases."
        found = of_atlas(atlas).nearest(features, NEAREST)
        rows = [
            f"- {one.case.title}: {one.case.diagnosis or 'no diagnosis'}, {one.case.organ or 'organ not stated'}, "
            f"similarity {one.similarity:.2f}"
            for one in found
        ]
        return "\n".join(["A likeness is no diagnosis. Nearest reference tiles:", *rows])

    def look_up_knowledge(self, text: str) -> str:
        """Looks up markers and diagnoses in the knowledge tables.

        Args:
            text: their names, in plain words.
        """
        return self._taken(entries(self._copilot.knowledge, text), "The tables name none of these.")

    def suggest_tests(self, candidates: str = "") -> str:
        """Ancillary tests that would separate candidate diagnoses, best first.

        Args:
            candidates: names with | between them; empty for what the views show.
        """
        given = parse_options(candidates)
        if candidates and len(given) < 2:
            raise UsageError("give at least two candidates with | between them, or none")
        seen = () if given else tuple(one.observation for one in self.seen)
        found = plan_tests(self._copilot.knowledge, seen, context=self.question.context, given=given)
        if len(found.candidates) < 2:
            return "Nothing narrows the differential enough to rank tests."
        return self._taken(planned(found, "request" if given else "picture"), "")

    def _taken(self, settled: Settled, nothing: str) -> str:
        self.cited += [one for one in settled.cited if one not in self.cited]
        return "\n".join(f"- {one.text}" for one in settled.cited) or nothing

    def _part(self, view: int, region: str) -> View:
        if not 1 <= view <= len(self._asked):
            raise UsageError(f"there is no view {view}: the question is about {len(self._asked)}")
        whole = self._asked[view - 1]
        if not region.strip():
            return whole
        part = inside(whole.slide, parse_region(region))
        if whole.region is not None and part is not None:
            part = _overlap(part, whole.region)
        return View(whole.slide, part)

    def _logged(
        self,
        name: str,
        arguments: Mapping[str, object],
        status: str,
        told: str,
        before: int | None = None,
        seconds: float = 0.0,
    ) -> str:
        new: Sequence[int] = () if before is None else range(before, len(self.evidence))
        digest = hashlib.sha256(told.encode()).hexdigest()
        self.steps.append(
            Step(len(self.steps) + 1, name, dict(arguments), status, told, digest, tuple(new), round(seconds, 3))
        )
        return told


def _overlap(part: Region, whole: Region) -> Region:
    left, top = max(part.x, whole.x), max(part.y, whole.y)
    right = min(part.x + part.width, whole.x + whole.width)
    bottom = min(part.y + part.height, whole.y + whole.height)
    if right <= left or bottom <= top:
        raise UsageError(f"the region lies outside the view, which is {','.join(map(str, whole.xywh))}")
    return Region(left, top, right - left, bottom - top)
