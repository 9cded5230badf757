"""What the page consists of: Gradio components around our own viewer, head and conversation.

The conversation is drawn by `static/conversation.js` inside `gr.HTML`, not by `gr.Chatbot`: each sentence must end in
buttons that fly to its evidence and be found again from there, which sanitised Markdown cannot carry; text from
models and slides becomes text nodes, so no sanitiser stands between it and the page; and an update redraws one
answer where a chat component renders its whole history again.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import gradio as gr

LONGEST_QUESTION = 2000
LONGEST_CONTEXT = 2000

TEMPLATES = Path(__file__).parent / "static" / "templates"
RESEARCH_USE = "For research and teaching only; not a medical device, not for diagnosis."
EMPTY = {
    "tests": "Which stains and tests would separate the candidates, and the result to expect of each.",
    "report": "A draft whose every line names its finding, or says that it was not assessed.",
    "worklist": "The open slides in the order in which they should be read, and what a certificate releases.",
}
"""What a draft's page says before there is one."""
_OPENSEADRAGON = '<script src="desk/openseadragon/openseadragon.min.js"></script>'


class Paper(NamedTuple):
    """Where a draft is shown, what starts it and what stops it."""

    text: gr.Markdown
    start: gr.Button
    stop: gr.Button


class Page:
    """The components, made inside an open `gr.Blocks`; what they do is told elsewhere."""

    def __init__(self) -> None:
        self.papers: dict[str, Paper] = {}
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
                        self.cases = gr.HTML(
                            html_template=_template("worklist"),
                            apply_default_css=False,
                            js_on_load=_module("worklist", "recall", "signout"),
                            elem_id="cases",
                            shown=None,
                        )
                gr.HTML(f"<p>{RESEARCH_USE}</p>", apply_default_css=False, elem_id="research-use")

    def _ask_tab(self) -> None:
        self.conversation = gr.HTML(
            html_template=_template("conversation"),
            apply_default_css=False,
            js_on_load=_module("conversation", "example", "vote", "again"),
            elem_id="conversation",
            turns=None,
            live={},
            ready=False,
            votes=False,
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


def _module(name: str, *events: str) -> str:
    """Loads one of our scripts into a component. Gradio finds an event by its quoted name in this text."""
    quoted = ", ".join(f'"{event}"' for event in events)
    return (
        f"const events = [{quoted}];\n"
        f'import(new URL("desk/{name}.js", document.baseURI).href)'
        ".then((part) => part.mount({element, trigger, props, watch, events}));"
    )


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
