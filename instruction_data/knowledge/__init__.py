"""Tumours, markers, staining figures with their sources, rules: tables, loader, checks."""

from .base import Entity, Knowledge, Marker, Rate, Rule, Source, Study, load_knowledge
from .results import StatedResult, stated_results

__all__ = [
    "Entity",
    "Knowledge",
    "Marker",
    "Rate",
    "Rule",
    "Source",
    "StatedResult",
    "Study",
    "load_knowledge",
    "stated_results",
]
