"""Regions as QuPath reads and writes them: GeoJSON in full-resolution pixels, origin top left, rings closed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from slides import Evidence, Region, UsageError

from ..quoting import one_line
from .document import Report

_COLOURS = {"malignant": (200, 30, 30), "pre-malignant": (230, 130, 0), "normal": (40, 140, 60)}
_OTHER = (0, 90, 200)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A region that somebody drew, with its name and class where it has them; `region` is its bounding box."""

    region: Region
    name: str | None
    classification: str | None


def collections(report: Report) -> list[dict[str, Any]]:
    """One FeatureCollection a slide, in the order of `report.slides`: QuPath reads one for an image."""
    names = list(dict.fromkeys([*(facts.name for facts in report.slides), *(item.slide for item in report.evidence)]))
    found = {facts.name: facts for facts in report.slides}
    out = []
    for name in names:
        told: dict[str, Any] = {"type": "FeatureCollection", "features": list(_features(report.evidence, name))}
        if name in found:
            told["slide_content"] = found[name].fingerprint
        out.append(told)
    return out or [{"type": "FeatureCollection", "features": []}]


def _features(evidence: Sequence[Evidence], slide: str) -> Iterator[dict[str, Any]]:
    for index, item in enumerate(evidence, 1):
        if item.slide != slide or item.finding.abstained:
            continue
        for place, region in enumerate(item.fields or (item.region,)):
            yield _feature(index, place, item, region)


def _feature(index: int, place: int, item: Evidence, region: Region) -> dict[str, Any]:
    finding = item.finding
    label = finding.label or finding.name.replace("_", " ")
    measured = {
        name: value
        for name, value in (
            ("probability", finding.probability),
            ("novelty p", finding.novelty),
            (f"{finding.name}{f' ({finding.unit})' if finding.unit else ''}", finding.value),
        )
        if value is not None and math.isfinite(value)
    }
    digest = sha256(f"{index} {place} {item.as_json()}".encode()).digest()
    return {
        "type": "Feature",
        "id": str(UUID(bytes=digest[:16], version=4)),
        "geometry": polygon(region),
        "properties": {
            "objectType": "annotation",
            "name": f"E{index} {finding.name}: {label}",
            "classification": {"name": label, "color": list(_COLOURS.get(label, _OTHER))},
            "isLocked": False,
            "measurements": measured,
        },
    }


def polygon(region: Region) -> dict[str, Any]:
    """The rectangle as a closed ring."""
    x, y, right, bottom = region.x, region.y, region.right, region.bottom
    return {"type": "Polygon", "coordinates": [[[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]]}


def read_annotations(path: Path) -> tuple[Annotation, ...]:
    """The annotations of a GeoJSON file of QuPath, each with its bounding box in level-0 pixels.

    Reads a FeatureCollection, a list of features, or one feature; detections and cells are left out. Raises
    `UsageError` for a file that is not GeoJSON or holds no region.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"cannot read {path.name}: name a GeoJSON file") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise UsageError(f"{path.name} is not GeoJSON: export annotations from QuPath as GeoJSON") from None
    features = told.get("features", [told]) if isinstance(told, Mapping) else told
    if not isinstance(features, list):
        raise UsageError(f"{path.name} is not GeoJSON: export annotations from QuPath as GeoJSON")
    found = tuple(one for feature in features if (one := _annotation(feature)) is not None)
    if not found:
        raise UsageError(f"{path.name} holds no annotation: draw at least one region, then export")
    return found


def annotated(path: Path, slides: Sequence[Path] | None) -> tuple[Region, ...]:
    """The boxes of a QuPath user's annotations; raises `UsageError` unless exactly one slide is asked about."""
    if len(slides or ()) != 1:
        raise UsageError("--regions are annotations of one slide: name that slide alone")
    return tuple(one.region for one in read_annotations(path))


def _annotation(feature: Any) -> Annotation | None:
    try:
        properties = feature.get("properties") or {}
        if properties.get("objectType", "annotation") != "annotation":
            return None
        points = list(_points(feature["geometry"]))
        xs, ys = [x for x, _ in points], [y for _, y in points]
        left, top = math.floor(min(xs)), math.floor(min(ys))
        region = Region(left, top, max(1, math.ceil(max(xs)) - left), max(1, math.ceil(max(ys)) - top))
        kind = (properties.get("classification") or {}).get("name")
        name = properties.get("name")
        return Annotation(region, one_line(str(name)) if name else None, one_line(str(kind)) if kind else None)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _points(geometry: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    if geometry["type"] == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _points(part)
        return
    stack = [geometry["coordinates"]]
    while stack:
        one = stack.pop()
        if isinstance(one[0], int | float):
            yield float(one[0]), float(one[1])
        else:
            stack.extend(one)
