"""What is known of one picture: what its source states, and what was found when it was looked at.

A record is plain JSON. It is made where pictures are looked at, one floor up, and read here by builders that
know words and no pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slides import Evidence, Finding, Region

from .conversation import Picture

LABELS = ("stain", "organ", "category", "tissue", "disease", "title")
"""What a source may state; of a picture sampled from a whole slide all of it is the case's, not the picture's."""


@dataclass(frozen=True, slots=True)
class Record:
    """A picture with its labels and findings.

    `case` names the whole slide that it was sampled from, empty for a picture cut and labelled by itself; then
    labels are the case's. `downsample` is against that slide's level 0. `altered` says what was done to it
    before it was looked at (`blurred`, `half`), or that it is a `sheet` of several tiles of the slide; empty for a
    tile as it is. `fields_seen` of
    `fields_available` tiles were looked at; `usable` is False where there is no tissue to speak about.
    """

    picture: Picture
    labels: Mapping[str, str] = field(default_factory=dict)
    case: str = ""
    downsample: int = 1
    altered: str = ""
    text: str = ""
    """A sentence on what such a case shows, not on this picture."""
    evidence: tuple[Evidence, ...] = ()
    fields_seen: int = 0
    fields_available: int = 0
    usable: bool = True
    reason: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """True for tissue as it was scanned, a tile or several."""
        return self.altered in ("", "sheet")

    def find(self, name: str) -> Finding | None:
        """The finding of that name, or None."""
        return next((item.finding for item in self.evidence if item.finding.name == name), None)

    def label(self, name: str) -> str:
        """What the source states, empty where it does not."""
        return self.labels.get(name, "")

    def as_json(self) -> dict[str, Any]:
        """Plain types only; what `from_json` reads."""
        return {
            "picture": self.picture.as_json(),
            "labels": dict(self.labels),
            "case": self.case,
            "downsample": self.downsample,
            "altered": self.altered,
            "text": self.text,
            "evidence": [
                {"level0_xywh": list(e.region.xywh), "mpp": e.mpp, "finding": e.finding.as_json()}
                for e in self.evidence
            ],
            "fields_seen": self.fields_seen,
            "fields_available": self.fields_available,
            "usable": self.usable,
            "reason": self.reason,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Record:
        """The record that `as_json` wrote; a piece of evidence bears the picture's id as its slide."""
        picture = Picture.from_json(row["picture"])
        return cls(
            picture,
            dict(row["labels"]),
            row["case"],
            row["downsample"],
            row["altered"],
            row["text"],
            tuple(
                Evidence(picture.id, Region(*e["level0_xywh"]), e["mpp"], _finding(e["finding"]))
                for e in row["evidence"]
            ),
            row["fields_seen"],
            row["fields_available"],
            row["usable"],
            row["reason"],
            tuple(row["notes"]),
        )


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(
        row["name"],
        label=row["label"],
        value=row["value"],
        unit=row["unit"],
        probability=row["probability"],
        prediction_set=tuple(row["prediction_set"]),
        distribution=tuple(row["distribution"].items()),
        interval=None if row["interval"] is None else (row["interval"][0], row["interval"][1]),
        novelty=row["novelty"],
        abstained=row["abstained"],
        reason=row["reason"],
        scope=row["scope"],
        source=row["source"],
    )


def stated(record: Record) -> tuple[Evidence, ...]:
    """The labels of the source as findings of probability 1, for sentences that rest on labels alone."""
    whole = Region(0, 0, 1, 1)
    organ = record.label("organ")
    names = {
        "stain": "stain",
        "organ": "organ",
        "category": "category",
        "tissue": f"tissue {organ}".strip(),
        "disease": f"disease {organ}".strip(),
    }
    found = []
    for name, called in names.items():
        if label := record.label(name):
            finding = Finding(
                called,
                label=label,
                probability=1.0,
                prediction_set=(label,),
                distribution=((label, 1.0),),
                source=f"label of {record.picture.source}",
            )
            found.append(Evidence(record.picture.id, whole, record.picture.mpp, finding))
    return tuple(found)
