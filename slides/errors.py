"""Everything that can go wrong in a way a user can mend; each message is one line that says what to do.

PathcopilotError                  root; the command line prints it and exits 2
├── UsageError                    a request that cannot be carried out as asked (region outside, bad option)
├── SetupError                    something is not installed or its hash does not match
└── SlideError                    the slide at fault
    ├── SlideNotFound             no such file, a broken link, no permission
    ├── NotASlide                 the content is no slide and no image
    ├── SlideDamaged              cut short, corrupt, a part missing
    ├── SlideRefused              opens, but not usable within our limits (too small, not believable)
    ├── RegionUnreadable          this part of the slide cannot be decoded; others may
    ├── RegionTooLarge            more pixels asked for than one read may hold
    └── ScaleUnknown              µm/px is needed and the file does not state it
"""

from __future__ import annotations


class PathcopilotError(Exception):
    """An error a user can mend; `str(error)` is one line."""


class UsageError(PathcopilotError):
    """Raised when a request cannot be carried out as asked."""


class SetupError(PathcopilotError):
    """Raised when a needed package or weights file is missing or differs from its hash."""


class SlideError(PathcopilotError):
    """Raised for anything wrong with a slide."""


class SlideNotFound(SlideError):
    """Raised when there is no readable file at the path."""


class NotASlide(SlideError):
    """Raised when the content is neither a slide nor an image."""


class SlideDamaged(SlideError):
    """Raised when a slide is cut short, corrupt or lacks a part."""


class SlideRefused(SlideError):
    """Raised when a slide opens but cannot be used within the limits."""


class RegionUnreadable(SlideError):
    """Raised when one region cannot be decoded; the rest of the slide may still be read."""


class RegionTooLarge(SlideError):
    """Raised when one read would hold more pixels than the cap."""


class ScaleUnknown(SlideError):
    """Raised when a read or a measure needs µm/px and the slide does not state it."""
