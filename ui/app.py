"""The desk as a web application, and the server that runs it on this machine alone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .security import STATIC, Guard, quiet_environment

quiet_environment()

import gradio as gr  # noqa: E402  the environment must be set before gradio is imported
import typer  # noqa: E402
import uvicorn  # noqa: E402
from fastapi import FastAPI, HTTPException, Request, Response  # noqa: E402
from fastapi.staticfiles import StaticFiles  # noqa: E402

from slides import SetupError, SlideNotFound, UsageError  # noqa: E402

from .cases import Triage, open_triage  # noqa: E402
from .desk import Desk  # noqa: E402
from .models import Engine, Models  # noqa: E402
from .openai_api import openai_routes  # noqa: E402
from .openseadragon import wrong_files  # noqa: E402
from .pictures import picture_routes  # noqa: E402
from .rack import Rack  # noqa: E402
from .session import COOKIE, SessionCookie, Sessions  # noqa: E402
from .theme import desk_theme  # noqa: E402
from .votes import FILE as VOTES  # noqa: E402
from .votes import Votes  # noqa: E402

STYLES = ("desk", "viewer", "conversation", "worklist")
HEAD = "".join(f'<link rel="stylesheet" href="desk/{name}.css">' for name in STYLES)


def build_app(
    copilot: Engine | Callable[[], Engine],
    slides: Sequence[Path],
    votes: Votes | None = None,
    triage: Triage | None = None,
) -> FastAPI:
    """The desk for an engine, or for what makes one (it is then loaded in the background), and some slides.

    Without `votes` the page asks for none; without `triage` its worklist ranks, and keeps and releases nothing.

    Raises `SetupError` when the viewer's files were not brought at set-up.
    """
    if wrong_files():
        raise SetupError("the slide viewer is not installed: run `python -m ui.openseadragon`")
    rack, sessions, models = Rack(slides), Sessions(), Models(copilot)
    app = FastAPI(title="pathcopilot", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.models, app.state.rack = models, rack
    app.mount("/desk", _Static(directory=STATIC), name="desk")
    app.include_router(picture_routes(rack))
    app.include_router(openai_routes(models, rack))

    @app.get("/report/{key}.md")
    def report(key: str, request: Request) -> Response:
        """The report draft of a slide as a file."""
        session = sessions.get(request.cookies.get(COOKIE))
        text = session.on(key).report if key in rack else ""
        if not text:
            raise HTTPException(404, "no report was drafted for this slide")
        name = quote(f"report {Path(rack.names[key]).stem}.md")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}", "Cache-Control": "no-store"}
        return Response(text, media_type="text/markdown; charset=utf-8", headers=headers)

    app.add_middleware(SessionCookie)
    app.add_middleware(Guard)
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        Desk(rack, models, sessions, votes, (triage or Triage()).cases(rack)).blocks(),
        path="/",
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,
        max_file_size="1kb",  # the page takes no files
        theme=desk_theme(),
        head=HEAD,
        favicon_path=STATIC / "favicon.svg",
    )
    return mounted


def serve(
    slides: Sequence[Path],
    *,
    port: int = 7860,
    language: str = "embedded",
    encoder: str = "embedded",
    heads: Sequence[Path] = (),
    certificate: Path | None = None,
    patients: Path | None = None,
    slide_model: Path | None = None,
    store: str | None = None,
) -> None:
    """Serves the desk on 127.0.0.1 until it is interrupted; models load once the page can be opened.

    `certificate`, `patients`, `slide_model` and `store` are as for `pathcopilot triage`; the store also remembers what
    was seen on slides. Raises `SlideNotFound` for a path that is not there, `UsageError` when the port is taken or a
    file that was named is missing or is none of its kind, `SetupError` when the case store cannot be used.
    """
    for path in slides:
        if not path.exists():
            raise SlideNotFound(f"{path.name}: there is no such file or folder: check the name")

    for path in heads:
        if not path.is_file():
            raise UsageError(f"{path.name}: no head there: name the HEAD.json that pathcopilot adapt wrote")

    triage = open_triage(store, certificate, patients, slide_model)

    def load() -> Engine:
        from copilot import Copilot

        return Copilot.load(language, encoder, heads=heads, memory=triage.store)

    from copilot.store.place import data_folder

    app = build_app(load, slides, Votes(data_folder() / VOTES), triage)

    def opened() -> None:
        threading.Thread(target=app.state.rack.warm, name="first slide", daemon=True).start()
        app.state.models.start()
        typer.echo(f"The desk is open at http://127.0.0.1:{port}/ (stop it with Ctrl-C)")

    run(app, port, opened)


def run(app: FastAPI, port: int, opened: Callable[[], None]) -> None:
    """Runs an application on 127.0.0.1 alone; `opened` is called once it answers."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UsageError(f"port {port} is taken: stop what uses it, or choose another with --port") from None

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                opened()

    settings: dict[str, Any] = {"proxy_headers": False, "server_header": False, "ws": "none", "access_log": False}
    Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", **settings)).run()


class _Static(StaticFiles):
    """Our scripts and styles; asked for anew each time, so that an upgrade is never half old."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response
