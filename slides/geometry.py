"""Places on a slide: integer level-0 pixels, origin top left, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Size(NamedTuple):
    """Width and height in pixels of whatever it belongs to."""

    width: int
    height: int


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A rectangle of a slide in integer level-0 pixels.

    Raises `ValueError` when width or height is not positive. x and y may be negative:
    a region may hang over the edge of a slide until it is clamped.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"a region needs a positive size, not {self.width}x{self.height}")

    @property
    def right(self) -> int:
        """First column past the region."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row past the region."""
        return self.y + self.height

    @property
    def area(self) -> int:
        """Level-0 pixels covered."""
        return self.width * self.height

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """`(x, y, width, height)`, the shape used in JSON."""
        return (self.x, self.y, self.width, self.height)

    def intersect(self, other: Region) -> Region | None:
        """The part shared with another region, or None when they do not meet."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Region(x, y, right - x, bottom - y) if right > x and bottom > y else None

    def clamp(self, size: Size | tuple[int, int]) -> Region | None:
        """The part inside a slide of that size, or None when it lies wholly outside."""
        return self.intersect(Region(0, 0, size[0], size[1]))

    def contains(self, other: Region) -> bool:
        """True when the other region lies wholly inside this one."""
        return self.intersect(other) == other

    @classmethod
    def parse(cls, text: str) -> Region:
        """A region from `X,Y,W,H`; raises `ValueError` with the form to use."""
        parts = text.replace(" ", "").split(",")
        try:
            x, y, width, height = (int(float(part)) for part in parts)
        except ValueError:
            raise ValueError("a region is X,Y,W,H in level-0 pixels, for instance 1200,800,512,512") from None
        return cls(x, y, width, height)
