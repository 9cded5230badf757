"""What each event of the page does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from copilot.answer import Question, View
from slides import PathcopilotError, Region

from . import work
from .ahead import LookAhead
from .boxes import regions_of
from .cases import Cases
from .exchange import Exchange
from .models import Draft, Engine, Models
from .page import EMPTY, LONGEST_CONTEXT, LONGEST_QUESTION, Page
from .rack import Rack
from .session import COOKIE, SHOWN_TURNS, Session, Sessions, SlideState
from .votes import Votes
from .worklist import WorklistPage

Update = Any
"""What Gradio takes as news of one component."""
Drafted = dict[Any, Update]
Progress = Callable[[str], None]


class Desk:
    """Handlers of the page; every one finds its state by the session's cookie and the slide's key."""

    def __init__(
        self, rack: Rack, models: Models, sessions: Sessions, votes: Votes | None = None, cases: Cases | None = None
    ) -> None:
        self.rack = rack
        self.worklist = WorklistPage(cases or Cases(rack))
        self.votes = votes or Votes(None)
        self.models = models
        self.sessions = sessions
        self._ahead = LookAhead(models, rack)
        self._watching: dict[str, str | None] = {}
        """Slide that each browser tab shows: what belongs to another slide is not sent to it."""

    def session(self, request: gr.Request) -> Session:
        """The session of a request; its slide is the first one until it opens another."""
        session = self.sessions.get(request.cookies.get(COOKIE) or f"tab-{request.session_hash}")
        if session.current not in self.rack:
            session.current = self.rack.shelves[0].key if self.rack.shelves else None
        return session

    # Opening a slide -------------------------------------------------------------------------------------------

    def restore(self, request: gr.Request) -> Iterator[dict[Any, Update]]:
        """Everything as it was, for a page that has just been loaded."""
        yield from self._show(self.session(request), request)
        if self.worklist.recalled():
            yield {self.page.cases: self.worklist.shown()}

    def open(self, event: gr.EventData, request: gr.Request) -> Iterator[dict[Any, Update]]:
        """Another slide, with its own conversation, boxes and drafts."""
        session = self.session(request)
        key = str(event._data.get("key", ""))
        if key in self.rack:
            session.current = key
        yield from self._show(session, request)

    def _show(self, session: Session, request: gr.Request) -> Iterator[dict[Any, Update]]:
        key = session.current
        self._watching[request.session_hash] = key
        names = list(self.rack.names.items())
        page: dict[Any, Update] = {
            self.page.case: gr.update(slides={"names": names, "current": key}),
            self.page.papers["worklist"].text: session.worklist or EMPTY["worklist"],
            self.page.cases: self.worklist.shown(),
        }
        if key is None:
            nothing = {self.page.viewer: gr.update(shown={"slide": None, "regions": []})}
            yield page | nothing | {self.page.conversation: gr.update(ready=True)}
            return
        state = session.on(key)
        described = self.rack.describe(key)
        if self._watching.get(request.session_hash) != key:
            return  # it took long to open, and the page has gone on to another
        yield (
            page
            | {
                self.page.viewer: gr.update(
                    shown={"slide": described, "regions": [list(region.xywh) for region in state.regions]}
                ),
                self.page.conversation: self._conversation(key, state),
                self.page.context: state.context,
                self.page.candidates: state.candidates,
                self.page.papers["tests"].text: state.tests or EMPTY["tests"],
                self.page.papers["report"].text: state.report or EMPTY["report"],
                self.page.download: self._download(key, state),
            }
            | {paper.stop: gr.update(visible=False) for paper in self.page.papers.values()}
        )
        if not state.running:
            self._ahead.look(request.session_hash or "", key, state.regions, state.context or None)
        if state.running:
            for update in self._stream(key, state, state.running, request):
                yield {self.page.conversation: update}
        for name, drafting in list(session.drafting.items()):
            if drafting.alive and drafting.key in (None, key):
                for draft in self._follow_draft(name, drafting, request):
                    yield draft | ({self.page.download: self._download(key, state)} if name == "report" else {})
        if not self.models.ready:
            self.models.wait()
            yield {self.page.conversation: gr.update(ready=True)}

    # Asking ----------------------------------------------------------------------------------------------------

    def ask(self, text: str, context: str, seen: Any, request: gr.Request) -> Iterator[tuple[Update, Update]]:
        """An answer to a question about the boxes, or the whole slide, that the page shows."""
        session = self.session(request)
        key, regions = self._seen(seen, session)
        text = text.strip()[:LONGEST_QUESTION]
        if key is None or not text:
            yield gr.skip(), gr.skip()
            return
        state = session.on(key)
        if state.running:  # a new question takes the place of the one on its way
            state.running.halt.set()
        state.context = context.strip()[:LONGEST_CONTEXT]
        whole = self._whole(key)
        exchange = Exchange(
            len(state.exchanges), key, whole, text, regions_of(regions, whole), state.context or None, state.history()
        )
        self._answer(state, exchange)
        yield "", self._conversation(key, state)
        for update in self._stream(key, state, exchange, request):
            yield gr.skip(), update

    def example(
        self, context: str, seen: Any, event: gr.EventData, request: gr.Request
    ) -> Iterator[tuple[Update, Update]]:
        """One of the questions that the empty page offers."""
        yield from self.ask(str(event._data.get("text", "")), context, seen, request)

    def _answer(self, state: SlideState, exchange: Exchange) -> None:
        state.exchanges.append(exchange)

        def question(views: tuple[View, ...]) -> Question:
            return Question(exchange.question, views, exchange.context, history=exchange.history)

        work.answer(exchange, self.models, self.rack, question, self.worklist.cases.keep)

    def again(self, event: gr.EventData, request: gr.Request) -> Iterator[Update]:
        """The same findings in other words, below the answer; which is better is a vote."""
        key, state, first = self._voted(event, request)
        if key is None or state is None or first is None or state.running or first.again is not None:
            yield gr.skip()
            return
        number = len(state.exchanges)
        exchange = Exchange(
            number, key, self._whole(key), first.question, first.regions, first.context, first.history, first.number
        )
        self._answer(state, exchange)
        yield self._conversation(key, state)
        yield from self._stream(key, state, exchange, request)

    def vote(self, event: gr.EventData, request: gr.Request) -> Update:
        """Keeps whether an answer was useful, or better than the one it says in other words."""
        key, state, exchange = self._voted(event, request)
        useful = event._data.get("useful")
        if key is None or state is None or exchange is None or not isinstance(useful, bool):
            return gr.skip()
        first = None if exchange.again is None else state.exchanges[exchange.again]
        if first is not None and first.answer is not None and first.answer.text == getattr(exchange.answer, "text", ""):
            return gr.skip()  # the same words are no choice
        exchange.vote = "up" if useful else "down"
        if first is None:
            self.votes.thumb(exchange, useful)
        else:
            self.votes.prefer(*((exchange, first) if useful else (first, exchange)))
        return self._conversation(key, state)

    def _voted(self, event: gr.EventData, request: gr.Request) -> tuple[str | None, SlideState | None, Exchange | None]:
        """The finished answer that an event names; nothing about what a browser sends is certain."""
        key, number = event._data.get("slide"), event._data.get("number")
        if not self.votes.kept or key not in self.rack or not isinstance(number, int):
            return None, None, None
        state = self.session(request).on(str(key))
        found = state.exchanges[number] if 0 <= number < len(state.exchanges) else None
        return str(key), state, found if found is not None and found.answer is not None else None

    def halt(self, seen: Any, request: gr.Request) -> None:
        """Stops the answer on its way; the engine looks at the flag at every token and field."""
        session = self.session(request)
        key, _ = self._seen(seen, session)
        running = session.on(key).running if key is not None else None
        if running:
            running.halt.set()

    def _stream(self, key: str, state: SlideState, exchange: Exchange, request: gr.Request) -> Iterator[Update]:
        for over in work.follow(exchange):
            if self._watching.get(request.session_hash) != key or exchange is not state.exchanges[-1]:
                return  # the page shows another slide or question by now; the answer stays with its own
            yield self._conversation(key, state) if over else gr.update(live=exchange.as_props())

    def _conversation(self, key: str, state: SlideState) -> Update:
        running = state.running
        finished = [exchange for exchange in state.exchanges if exchange is not running]
        return gr.update(
            turns={
                "slide": key,
                "items": [exchange.as_props() for exchange in finished[-SHOWN_TURNS:]],
                "earlier": len(finished) > SHOWN_TURNS,
            },
            live=running.as_props() if running else {},  # None would not be sent
            ready=self.models.ready,
            votes=self.votes.kept,
        )

    # What the viewer tells -------------------------------------------------------------------------------------

    def region(self, seen: Any, request: gr.Request) -> None:
        """Remembers the boxes that a person drew."""
        session = self.session(request)
        key, regions = self._seen(seen, session)
        if key is not None:
            state = session.on(key)
            state.regions = regions_of(regions, self._whole(key))
            if not state.running:
                self._ahead.look(request.session_hash or "", key, state.regions, state.context or None)

    def scale(self, event: gr.EventData, request: gr.Request) -> Update:
        """Takes the µm/px that a person states for a slide whose file states none."""
        key = str(event._data.get("slide", ""))
        if key not in self.rack:
            return gr.skip()
        try:
            self.rack.state_mpp(key, float(event._data.get("mpp", 0)))
        except (PathcopilotError, TypeError, ValueError):
            return gr.skip()  # the page has checked it already: this was no person at the page
        regions = self.session(request).on(key).regions
        return gr.update(shown={"slide": self.rack.describe(key), "regions": [list(region.xywh) for region in regions]})

    def remember_context(self, context: str, seen: Any, request: gr.Request) -> None:
        """Keeps the clinical context with its slide."""
        session = self.session(request)
        key, _ = self._seen(seen, session)
        if key is not None:
            state = session.on(key)
            state.context = context[:LONGEST_CONTEXT]
            if not state.running:  # a stated organ opens its heads, so the box is looked at again
                self._ahead.look(request.session_hash or "", key, state.regions, state.context or None)

    def _whole(self, key: str) -> Region:
        """The scanned area of a slide; a single pixel where it does not open, so that no box lies on it."""
        try:
            return self.rack.slide(key).bounds
        except PathcopilotError:
            return Region(0, 0, 1, 1)

    def _seen(self, seen: Any, session: Session) -> tuple[str | None, Any]:
        """The slide and boxes that the page shows: input from a browser, so nothing about it is certain."""
        if isinstance(seen, dict) and seen.get("slide") in self.rack:
            return str(seen["slide"]), seen.get("regions")
        return session.current, None

    # Drafts ----------------------------------------------------------------------------------------------------

    def suggest(self, candidates: str, context: str, seen: Any, request: gr.Request) -> Iterator[Drafted]:
        """Ancillary tests, in the order of what each would settle."""
        session = self.session(request)
        key, regions = self._seen(seen, session)
        if key is None:
            return
        state = session.on(key)
        state.candidates = candidates[:LONGEST_CONTEXT]
        given = tuple(name.strip() for name in state.candidates.split("|") if name.strip())

        def make(engine: Engine, progress: Progress) -> Draft:
            views = self._views(key, regions)
            return engine.suggest(views, context=context.strip() or None, given=given, progress=progress)

        def keep(markdown: str) -> None:
            state.tests = markdown

        yield from self._draft("tests", key, session, make, keep, request)

    def draft_report(self, context: str, seen: Any, request: gr.Request) -> Iterator[Drafted]:
        """A report draft whose every line names its finding or says that it was not assessed."""
        session = self.session(request)
        key, regions = self._seen(seen, session)
        if key is None:
            return
        state = session.on(key)

        def make(engine: Engine, progress: Progress) -> Draft:
            return engine.report(self._views(key, regions), context=context.strip() or None, progress=progress)

        def keep(markdown: str) -> None:
            state.report = markdown

        for update in self._draft("report", key, session, make, keep, request):
            yield update | {self.page.download: self._download(key, state)}

    def rank(self, request: gr.Request) -> Iterator[Drafted]:
        """Every open slide, ranked by how soon it should be read."""
        session = self.session(request)

        def keep(markdown: str) -> None:
            session.worklist = markdown

        yield from self._draft("worklist", None, session, self.worklist.cases.rank, keep, request)

    def _draft(
        self,
        name: str,
        key: str | None,
        session: Session,
        make: Callable[[Engine, Progress], Draft],
        keep: Callable[[str], None],
        request: gr.Request,
    ) -> Iterator[Drafted]:
        session.drafting[name] = work.Drafting(key, self.models, make, keep)
        yield from self._follow_draft(name, session.drafting[name], request)

    def _follow_draft(self, name: str, drafting: work.Drafting, request: gr.Request) -> Iterator[Drafted]:
        paper = self.page.papers[name]
        for text, over in drafting.follow():
            if drafting.key not in (None, self._watching.get(request.session_hash)):
                return  # the page shows another slide by now; the draft is kept with its own
            ranked = {self.page.cases: self.worklist.shown()} if over and name == "worklist" else {}
            yield {paper.text: text, paper.stop: gr.update(visible=not over)} | ranked

    def stop_draft(self, name: str) -> Callable[[gr.Request], None]:
        """The handler of a draft's Stop."""

        def stop(request: gr.Request) -> None:
            drafting = self.session(request).drafting.get(name)
            if drafting:
                drafting.halt.set()

        return stop

    def _views(self, key: str, regions: Any) -> tuple[View, ...]:
        slide = self.rack.slide(key)
        return tuple(View(slide, region) for region in regions_of(regions, slide.bounds)) or (View(slide),)

    def _download(self, key: str, state: SlideState) -> Update:
        return gr.update(link=f"report/{key}.md", visible=bool(state.report))

    def leave(self, request: gr.Request) -> None:
        """A tab was closed: nothing is sent to it any more."""
        self._watching.pop(request.session_hash, None)

    # The page --------------------------------------------------------------------------------------------------

    def blocks(self) -> gr.Blocks:
        """The page with its events."""
        with gr.Blocks(
            title="pathcopilot", analytics_enabled=False, fill_height=True, fill_width=True, delete_cache=(3600, 3600)
        ) as blocks:
            self.page = Page()
            self._listen(blocks)
        blocks.queue(default_concurrency_limit=4, max_size=64)
        return blocks

    def _listen(self, blocks: gr.Blocks) -> None:
        page = self.page
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        light = quiet | {"queue": False}
        shown = {page.viewer, page.case, page.conversation, page.context, page.candidates, page.download, page.cases}
        shown |= {part for paper in page.papers.values() for part in (paper.text, paper.stop)}
        stream = quiet | {"concurrency_limit": None, "trigger_mode": "multiple"}
        blocks.load(self.restore, None, shown, **stream)
        blocks.unload(self.leave)
        page.case.open(self.open, None, shown, **stream)
        asked = [page.question, page.context, page.viewer]
        gr.on([page.question.submit, page.send.click], self.ask, asked, [page.question, page.conversation], **stream)
        page.conversation.example(
            self.example, [page.context, page.viewer], [page.question, page.conversation], **stream
        )
        page.conversation.again(self.again, None, page.conversation, **stream)
        page.conversation.vote(self.vote, None, page.conversation, **light)
        page.stop.click(self.halt, page.viewer, None, **light)
        page.viewer.halt(self.halt, page.viewer, None, **light)
        page.viewer.region(self.region, page.viewer, None, trigger_mode="always_last", **light)
        page.viewer.statescale(self.scale, None, page.viewer, **light)
        page.context.blur(self.remember_context, [page.context, page.viewer], None, **light)
        self.worklist.listen(page.cases, light)
        self._listen_to_drafts(quiet, light)

    def _listen_to_drafts(self, quiet: dict[str, Any], light: dict[str, Any]) -> None:
        page = self.page
        asked = [page.context, page.viewer]
        for name, handler, inputs, more in (
            ("tests", self.suggest, [page.candidates, *asked], set()),
            ("report", self.draft_report, asked, {page.download}),
            ("worklist", self.rank, None, {page.cases}),
        ):
            paper = page.papers[name]
            paper.start.click(handler, inputs, {paper.text, paper.stop} | more, **quiet)
            paper.stop.click(self.stop_draft(name), None, None, **light)
