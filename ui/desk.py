"""The page: Gradio blocks around the viewer, the conversation and the drafts, and what each event does.

The conversation is drawn by `static/conversation.js` inside `gr.HTML`, not by `gr.Chatbot`: each sentence must end in
buttons that fly to its evidence and be found again from there, which sanitised Markdown cannot carry; text from
models and slides becomes text nodes, so no sanitiser stands between it and the page; and an update redraws one
answer where a chat component renders its whole history again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from copilot.answer import Question, View
from slides import PathcopilotError, Region

from . import work
from .exchange import Exchange
from .models import Draft, Engine, Models
from .rack import Rack
from .session import COOKIE, SHOWN_TURNS, Session, Sessions, SlideState

MOST_REGIONS = 4
LONGEST_QUESTION = 2000
LONGEST_CONTEXT = 2000

TEMPLATES = Path(__file__).parent / "static" / "templates"
RESEARCH_USE = "For research and teaching only; not a medical device, not for diagnosis."
EMPTY = {
    "tests": "Which stains and tests would separate the candidates, and the result to expect of each.",
    "report": "A draft whose every line names its finding, or says that it was not assessed.",
    "worklist": "The open slides in the order in which they should be read.",
}
"""What a draft's page says before there is one."""
_OPENSEADRAGON = '<script src="desk/openseadragon/openseadragon.min.js"></script>'

Update = Any
"""What Gradio takes as news of one component."""
Drafted = dict[Any, Update]
Progress = Callable[[str], None]


class Paper(NamedTuple):
    """Where a draft is shown, what starts it and what stops it."""

    text: gr.Markdown
    start: gr.Button
    stop: gr.Button


def _module(name: str, *events: str) -> str:
    """Loads one of our scripts into a component. Gradio finds an event by its quoted name in this text."""
    quoted = ", ".join(f'"{event}"' for event in events)
    return (
        f"const events = [{quoted}];\n"
        f'import(new URL("desk/{name}.js", document.baseURI).href)'
        ".then((part) => part.mount({element, trigger, props, watch, events}));"
    )


class Desk:
    """Handlers of the page; every one finds its state by the session's cookie and the slide's key."""

    def __init__(self, rack: Rack, models: Models, sessions: Sessions) -> None:
        self.rack = rack
        self.models = models
        self.sessions = sessions
        self.papers: dict[str, Paper] = {}
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
            self.case: gr.update(slides={"names": names, "current": key}),
            self.papers["worklist"].text: session.worklist or EMPTY["worklist"],
        }
        if key is None:
            yield page | {self.viewer: gr.update(shown={"slide": None, "regions": []})}
            return
        state = session.on(key)
        described = self.rack.describe(key)
        yield (
            page
            | {
                self.viewer: gr.update(
                    shown={"slide": described, "regions": [list(region.xywh) for region in state.regions]}
                ),
                self.conversation: self._conversation(key, state),
                self.context: state.context,
                self.candidates: state.candidates,
                self.papers["tests"].text: state.tests or EMPTY["tests"],
                self.papers["report"].text: state.report or EMPTY["report"],
                self.download: self._download(key, state),
            }
            | {paper.stop: gr.update(visible=False) for paper in self.papers.values()}
        )
        if state.running:
            for update in self._stream(key, state, state.running, request):
                yield {self.conversation: update}
        for name, drafting in list(session.drafting.items()):
            if drafting.alive and drafting.key in (None, key):
                for draft in self._follow_draft(name, drafting, request):
                    yield draft | ({self.download: self._download(key, state)} if name == "report" else {})
        if not self.models.ready:
            self.models.wait()
            yield {self.conversation: gr.update(ready=True)}

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
        history = state.history()
        whole = self._whole(key)
        exchange = Exchange(len(state.exchanges), key, whole, text, _regions(regions, whole), state.context or None)
        state.exchanges.append(exchange)

        def question(views: tuple[View, ...]) -> Question:
            return Question(text, views, exchange.context, history=history)

        work.answer(exchange, self.models, self.rack, question)
        yield "", self._conversation(key, state)
        for update in self._stream(key, state, exchange, request):
            yield gr.skip(), update

    def example(
        self, context: str, seen: Any, event: gr.EventData, request: gr.Request
    ) -> Iterator[tuple[Update, Update]]:
        """One of the questions that the empty page offers."""
        yield from self.ask(str(event._data.get("text", "")), context, seen, request)

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
        )

    # What the viewer tells -------------------------------------------------------------------------------------

    def region(self, seen: Any, request: gr.Request) -> None:
        """Remembers the boxes that a person drew."""
        session = self.session(request)
        key, regions = self._seen(seen, session)
        if key is not None:
            session.on(key).regions = _regions(regions, self._whole(key))

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
            session.on(key).context = context[:LONGEST_CONTEXT]

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
            yield update | {self.download: self._download(key, state)}

    def rank(self, request: gr.Request) -> Iterator[Drafted]:
        """Every open slide, ranked by how soon it should be read."""
        session = self.session(request)

        def make(engine: Engine, progress: Progress) -> Draft:
            return engine.triage(self.rack.paths, progress=progress)

        def keep(markdown: str) -> None:
            session.worklist = markdown

        yield from self._draft("worklist", None, session, make, keep, request)

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
        paper = self.papers[name]
        for text, over in drafting.follow():
            if drafting.key not in (None, self._watching.get(request.session_hash)):
                return  # the page shows another slide by now; the draft is kept with its own
            yield {paper.text: text, paper.stop: gr.update(visible=not over)}

    def stop_draft(self, name: str) -> Callable[[gr.Request], None]:
        """The handler of a draft's Stop."""

        def stop(request: gr.Request) -> None:
            drafting = self.session(request).drafting.get(name)
            if drafting:
                drafting.halt.set()

        return stop

    def _views(self, key: str, regions: Any) -> tuple[View, ...]:
        slide = self.rack.slide(key)
        return tuple(View(slide, region) for region in _regions(regions, slide.bounds)) or (View(slide),)

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
        ) as page:
            with gr.Row(elem_id="desk"):
                with gr.Column(elem_id="slide-side"):
                    self.viewer = gr.HTML(
                        html_template=_template("viewer"),
                        apply_default_css=False,
                        js_on_load=_module("viewer", "region", "statescale", "halt"),
                        head=_OPENSEADRAGON,
                        elem_id="viewer",
                        shown=None,
                    )
                with gr.Column(elem_id="talk-side"):
                    self.case = gr.HTML(
                        html_template=_template("case"),
                        apply_default_css=False,
                        js_on_load=_module("case", "open"),
                        elem_id="case",
                        slides=None,
                    )
                    with gr.Tabs(elem_id="tabs"):
                        with gr.Tab("Ask", elem_id="tab-ask"):
                            self._ask_tab()
                        with gr.Tab("Tests", elem_id="tab-tests"):
                            self._draft_tab("tests", "Suggest tests")
                        with gr.Tab("Report", elem_id="tab-report"):
                            self._draft_tab("report", "Draft report")
                        with gr.Tab("Worklist", elem_id="tab-worklist"):
                            self._draft_tab("worklist", "Rank open slides")
                    gr.HTML(f"<p>{RESEARCH_USE}</p>", apply_default_css=False, elem_id="research-use")
            self._listen(page)
        page.queue(default_concurrency_limit=4, max_size=64)
        return page

    def _ask_tab(self) -> None:
        self.conversation = gr.HTML(
            html_template=_template("conversation"),
            apply_default_css=False,
            js_on_load=_module("conversation", "example"),
            elem_id="conversation",
            turns=None,
            live={},
            ready=False,
        )
        with gr.Column(elem_id="composer"):
            self.context = _line(
                "context", "Clinical context (optional)", "Clinical context, optional: age, site, history"
            )
            with gr.Row(elem_id="ask-row"):
                self.question = gr.Textbox(
                    show_label=False,
                    label="Question",
                    placeholder="Ask about the slide or a box",
                    lines=1,
                    max_lines=4,
                    max_length=LONGEST_QUESTION,
                    container=False,
                    elem_id="question",
                )
                self.send = gr.Button("Ask", variant="primary", elem_id="send", min_width=72)
                self.stop = gr.Button("Stop", variant="stop", elem_id="stop", min_width=72)

    def _draft_tab(self, name: str, verb: str) -> None:
        with gr.Row(elem_classes="draft-row"):
            if name == "tests":
                self.candidates = _line("candidates", "Candidates", "Candidates to separate, optional: one | another")
            start = gr.Button(verb, variant="primary", elem_id=f"{name}-start")
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id=f"{name}-stop")
            if name == "report":
                self.download = gr.Button("Save as Markdown", link="report/0.md", visible=False, elem_id="save-report")
        text = gr.Markdown(
            EMPTY[name], elem_id=name, elem_classes="paper", latex_delimiters=[], container=False, sanitize_html=True
        )
        self.papers[name] = Paper(text, start, stop)

    def _listen(self, page: gr.Blocks) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        light = quiet | {"queue": False}
        shown = {self.viewer, self.case, self.conversation, self.context, self.candidates, self.download}
        shown |= {part for paper in self.papers.values() for part in (paper.text, paper.stop)}
        stream = quiet | {"concurrency_limit": None, "trigger_mode": "multiple"}
        page.load(self.restore, None, shown, **stream)
        page.unload(self.leave)
        self.case.open(self.open, None, shown, **stream)
        asked = [self.question, self.context, self.viewer]
        gr.on([self.question.submit, self.send.click], self.ask, asked, [self.question, self.conversation], **stream)
        self.conversation.example(
            self.example, [self.context, self.viewer], [self.question, self.conversation], **stream
        )
        self.stop.click(self.halt, self.viewer, None, **light)
        self.viewer.halt(self.halt, self.viewer, None, **light)
        self.viewer.region(self.region, self.viewer, None, trigger_mode="always_last", **light)
        self.viewer.statescale(self.scale, None, self.viewer, **light)
        self.context.blur(self.remember_context, [self.context, self.viewer], None, **light)
        self._listen_to_drafts(quiet, light)

    def _listen_to_drafts(self, quiet: dict[str, Any], light: dict[str, Any]) -> None:
        asked = [self.context, self.viewer]
        for name, handler, inputs, more in (
            ("tests", self.suggest, [self.candidates, *asked], set()),
            ("report", self.draft_report, asked, {self.download}),
            ("worklist", self.rank, None, set()),
        ):
            paper = self.papers[name]
            paper.start.click(handler, inputs, {paper.text, paper.stop} | more, **quiet)
            paper.stop.click(self.stop_draft(name), None, None, **light)


def _template(name: str) -> str:
    """Markup of a component. It holds no placeholder: a value in a template would be compiled as code."""
    return (TEMPLATES / f"{name}.html").read_text(encoding="utf-8")


def _line(name: str, label: str, placeholder: str) -> gr.Textbox:
    return gr.Textbox(
        label=label,
        show_label=False,
        placeholder=placeholder,
        lines=1,
        max_lines=1,
        max_length=LONGEST_CONTEXT,
        container=False,
        elem_id=name,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
    )


def _regions(boxes: Any, whole: Region) -> tuple[Region, ...]:
    """Boxes from a browser as regions inside the slide; what is none is left out."""
    regions: list[Region] = []
    for box in boxes if isinstance(boxes, Sequence) else ():
        try:
            x, y, width, height = (int(number) for number in box)
            region = Region(x, y, width, height).intersect(whole)
        except (TypeError, ValueError, OverflowError):
            continue
        if region is not None:
            regions.append(region)
    return tuple(regions[:MOST_REGIONS])
