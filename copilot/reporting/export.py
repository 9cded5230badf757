"""The forms that a report is written in, by the ending of the file's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from slides import UsageError
from slides.files import write_atomically

from .document import Report

Content = bytes | str


def write_report(report: Report, path: Path) -> tuple[Path, ...]:
    """Writes the report in the form that the name ends in, in one step; returns the files written.

    Raises `UsageError` for an ending that is no form, a folder that is missing, a signed version in the way, or a
    form that lacks something (DICOM needs µm/px), `SetupError` where a library is not installed.
    """
    check_target(path)
    content = form_of(path)(report)
    files = content if isinstance(content, Mapping) else {"": content}
    written = []
    for suffix, one in files.items():
        target = path.with_name(f"{path.name[: -len(ending(path))]}{suffix}{ending(path)}") if suffix else path
        try:
            write_atomically(target, one)
        except OSError as error:
            raise UsageError(f"{target.name} cannot be written here: {error.strerror}; name another folder") from error
        written.append(target)
    return tuple(written)


def check_target(path: Path) -> None:
    """Raises `UsageError` unless a report can be written to the path."""
    if not ending(path):
        raise UsageError(f"name a file that ends in {', '.join(FORMS)}, not {path.suffix or 'nothing'}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder for {path.name}: make it first or name another")
    if path.is_dir():
        raise UsageError(f"{path.name} is a folder: name a file that ends in {ending(path)}")
    if ending(path) == ".json" and path.is_file() and _is_signed(path):
        raise UsageError(f"{path.name} is a signed version and is not overwritten: name another file")


def ending(path: Path) -> str:
    """The ending that chooses the form, `.fhir.json` before `.json`; empty when it is none."""
    return next((known for known in FORMS if path.name.lower().endswith(known)), "")


def form_of(path: Path) -> Callable[[Report], Content | Mapping[str, Content]]:
    """What makes the file's content; for one slide a file, a mapping from part of the name to content."""
    return FORMS[ending(path)]


def _is_signed(path: Path) -> bool:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and bool(told.get("signature"))


def _json(report: Report) -> str:
    return json.dumps(report.as_json(), ensure_ascii=False, indent=1) + "\n"


def _fhir(report: Report) -> str:
    from .fhir import bundle

    return json.dumps(bundle(report), ensure_ascii=False, indent=1) + "\n"


def _geojson(report: Report) -> Mapping[str, Content]:
    from .geojson import collections

    made = collections(report)
    return {("" if len(made) == 1 else f"-{n}"): json.dumps(one, indent=1) + "\n" for n, one in enumerate(made, 1)}


def _dicom(report: Report) -> bytes:
    from .dicom import structured_report

    return structured_report(report)


def _html(report: Report) -> str:
    from .html import html

    return html(report)


def _pdf(report: Report) -> bytes:
    from .pdf import pdf

    return pdf(report)


def _docx(report: Report) -> bytes:
    from .word import docx

    return docx(report)


FORMS: dict[str, Callable[[Report], Content | Mapping[str, Content]]] = {
    ".fhir.json": _fhir,
    ".geojson": _geojson,
    ".json": _json,
    ".md": Report.markdown,
    ".html": _html,
    ".pdf": _pdf,
    ".docx": _docx,
    ".dcm": _dicom,
}
"""Forms by ending; the longer ending is looked for first."""
