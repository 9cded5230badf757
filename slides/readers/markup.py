"""The few facts taken from XML headers, parsed without entities, document types or outside references."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.parsers import expat

LONGEST_XML = 32 * 2**20
"""Bytes; OME-XML of a large plate stays under this."""

_MICROMETRES = {
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0,
    "nm": 1e-3, "Å": 1e-4, "pm": 1e-6, "in": 25400.0,
}  # fmt: skip
"""OME length unit to µm; both micro signs occur. Units left out (`pixel`, `reference frame`) are no length."""


class UnsafeMarkup(ValueError):
    """Raised for XML that is malformed, too long, or declares a document type or entities."""


def elements(text: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """Each start tag as (name without namespace, attributes), in document order.

    Raises `UnsafeMarkup` for anything that is not plain, well-formed XML.
    """
    if len(text) > LONGEST_XML:
        raise UnsafeMarkup("XML too long")
    found: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise UnsafeMarkup("XML with a document type")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: found.append((name.split(":")[-1], attributes))
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise UnsafeMarkup("malformed XML") from error
    return iter(found)


def ome_scale(text: bytes) -> tuple[tuple[float, float] | None, float | None]:
    """µm/px (x, y) of the first image of an OME-XML header and its nominal magnification, None where absent.

    A size that is not a number comes back as nan, so that it is told apart from one not stated.
    """
    mpp: tuple[float, float] | None = None
    objective: float | None = None
    seen_pixels = False
    try:
        for name, attributes in elements(text):
            if name == "Objective" and objective is None:
                objective = _positive(attributes.get("NominalMagnification"))
            elif name == "Pixels" and not seen_pixels:
                seen_pixels = True
                x, y = (_micrometres(attributes, axis) for axis in "XY")
                if x is not None or y is not None:
                    mpp = (x if x is not None else y or 0.0, y if y is not None else x or 0.0)
    except UnsafeMarkup:
        return None, None
    return mpp, objective


def _micrometres(attributes: dict[str, str], axis: str) -> float | None:
    text = attributes.get(f"PhysicalSize{axis}")
    if text is None:
        return None
    factor = _MICROMETRES.get(attributes.get(f"PhysicalSize{axis}Unit", "µm").strip())
    try:
        return None if factor is None else float(text) * factor
    except ValueError:
        return math.nan


def _positive(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else 0.0
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
