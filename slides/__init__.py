"""Slides: readers, regions, tissue, grid, quality. Knows pixels, nothing of tissue classes or words."""

from .errors import (
    NotASlide,
    PathcopilotError,
    RegionTooLarge,
    RegionUnreadable,
    ScaleUnknown,
    SetupError,
    SlideDamaged,
    SlideError,
    SlideNotFound,
    SlideRefused,
    UsageError,
)
from .finding import Evidence, Finding
from .geometry import Region, Size
from .open import open_slide
from .slide import Level, Pixels, Slide

__all__ = [
    "Evidence",
    "Finding",
    "Level",
    "NotASlide",
    "PathcopilotError",
    "Pixels",
    "Region",
    "RegionTooLarge",
    "RegionUnreadable",
    "ScaleUnknown",
    "SetupError",
    "Size",
    "Slide",
    "SlideDamaged",
    "SlideError",
    "SlideNotFound",
    "SlideRefused",
    "UsageError",
    "open_slide",
]
