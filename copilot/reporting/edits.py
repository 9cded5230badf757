"""A person's edits: kept over regeneration, shown as differences, and frozen when signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

from slides import UsageError

from ..quoting import one_line
from .document import Report, ReportLine, Section, Signature, from_json

MOST_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that a person changed; `moved` says whether the draft under it has changed since."""

    key: str
    kind: Literal["changed", "added", "removed"]
    drafted: str
    text: str
    moved: bool = False

    def __str__(self) -> str:
        said = {"added": "+ ", "removed": "- ", "changed": "- "}[self.kind]
        lines = [f"{said}{self.text if self.kind == 'added' else self.drafted}"]
        lines += [f"+ {self.text}"] if self.kind == "changed" else []
        return "\n".join(lines) + ("\n! the draft under this edit has changed: look at it again" if self.moved else "")

    def as_json(self) -> dict[str, object]:
        """Plain types only."""
        return {
            "key": self.key,
            "kind": self.kind,
            "draft": self.drafted,
            "text": self.text,
            "draft_has_changed": self.moved,
        }


def read_report(path: Path) -> Report:
    """A report from its JSON, edits recognised by what the draft had said.

    Raises `UsageError` for a file that is no report, and for a signed version whose content was changed since.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path.name} is too large for a report")
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"cannot read {path.name}: name a report that pathcopilot wrote as .json") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise UsageError(f"{path.name} is not JSON: name a report that pathcopilot wrote as .json") from None
    if not isinstance(told, dict):
        raise UsageError(f"{path.name} is no report of pathcopilot")
    report = from_json(told)
    if report.signature is not None and content_sha256(report) != report.signature.content_sha256:
        raise UsageError(f"{path.name} was signed and has been changed since: take the signed file from its copy")
    return report


def keep_edits(new: Report, old: Report, *, amend: bool = False) -> tuple[Report, tuple[Difference, ...]]:
    """The new draft with the person's edits of the old one, and what differs from the new draft.

    A field is the same when its key is. An edited field keeps the person's text; where the draft under it has
    changed, the difference says so. Fields that the person added stay in their section. Raises `UsageError` for a
    signed version unless it is to be amended: then the draft counts one version more and names what it amends.
    """
    if old.signature is not None and not amend:
        raise UsageError(
            f"the report was signed out by {one_line(old.signature.by)} and is not changed: "
            "add --amend for a new version"
        )
    edited = {line.key: line for line in old.edits if line.generated}
    drafted = {line.key: line for line in new.lines}
    sections = []
    differences: list[Difference] = []
    for section in new.sections:
        lines = []
        for line in section.lines:
            own = edited.get(line.key)
            kept = line if own is None else replace(own, generated=line.text, evidence=line.evidence)
            lines.append(kept)
            if own is not None:
                differences.append(_difference(kept, moved=own.generated != line.text))
        own_lines = [
            line
            for line in _section(old, section.title)
            if line.edited and (not line.generated or line.key not in drafted) and line.text
        ]
        lines += [replace(line, generated="", evidence=()) for line in own_lines]
        differences += [_difference(replace(line, generated=""), moved=bool(line.generated)) for line in own_lines]
        sections.append(Section(section.title, tuple(lines)))
    signed = old.signature
    return (
        replace(
            new,
            sections=tuple(sections),
            version=old.version + (signed is not None),
            amends=signed.content_sha256 if signed else old.amends,
        ),
        tuple(differences),
    )


def amendable(report: Report) -> Report:
    """A signed version as a draft of the next; raises `UsageError` when it is not signed."""
    if report.signature is None:
        raise UsageError("only a signed version is amended: edit the draft itself")
    return replace(report, version=report.version + 1, amends=report.signature.content_sha256, signature=None)


def differences(report: Report) -> tuple[Difference, ...]:
    """What a person changed of a draft."""
    return tuple(_difference(line) for line in report.edits)


def sign_out(report: Report, by: str, at: str) -> Report:
    """The report frozen as a version signed by a named user.

    The signature holds the hash of the content and of what made it. It shows later change; it is no proof of who
    signed. Raises `UsageError` for an empty name, or a version that is signed already.
    """
    name = one_line(by, 200).strip()
    if not name:
        raise UsageError('say who signs: --sign-out "NAME"')
    if report.signature is not None:
        raise UsageError(f"the report was signed out by {one_line(report.signature.by)} on {report.signature.at}")
    signature = Signature(
        by=name,
        at=at,
        content_sha256=content_sha256(report),
        templates_sha256=report.templates_sha256,
        models_sha256=dict(report.model.weights_sha256) if report.model else {},
        slides={facts.name: facts.fingerprint for facts in report.slides},
    )
    return replace(report, signature=signature)


def content_sha256(report: Report) -> str:
    """SHA-256 of everything but the signature, in a form that does not hang on the file's layout."""
    told = replace(report, signature=None).as_json()
    return sha256(json.dumps(told, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _section(report: Report, title: str) -> Iterator[ReportLine]:
    return (line for section in report.sections if section.title == title for line in section.lines)


def _difference(line: ReportLine, *, moved: bool = False) -> Difference:
    drafted = line.generated or ""
    kind: Literal["changed", "added", "removed"] = "removed" if not line.text else "changed" if drafted else "added"
    return Difference(line.key, kind, drafted, line.text, moved)
