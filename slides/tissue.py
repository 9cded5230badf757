"""The tissue mask: where tissue lies, found on a bounded overview, and what was taken out and why."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .background import Background, absorbing, find_background, optical_density
from .errors import RegionTooLarge
from .geometry import Region, Size
from .marks import find_marks
from .neighbourhood import opened, within
from .slide import Pixels, Slide

Mask = NDArray[np.bool_]

SLIDE_PIXELS = 2**19
"""Mask pixels of a whole slide: about 10 µm each on a 30,000 px slide at 40x."""

REGION_PIXELS = 2**18
"""Mask pixels of a region: 512 x 512 of a field of view."""

_SPECK_UM2 = 300.0
"""Smaller pieces (20 µm across) are dust or single loose cells."""

_HOLE_UM2 = 30_000.0
"""Smaller holes (200 µm across) are lumina and fat cells inside tissue."""

_GAP_UM = 25.0
"""Gaps up to twice this are closed: fat is a lattice of thin membranes."""

_ASSUMED_MPP = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """Tissue of a region of a slide.

    Attributes
    ----------
    mask : bool (h, w), True is tissue
    region : what the mask covers, level 0
    downsample : level-0 px per mask px
    removed : what was taken out of the tissue and why, one sentence each
    pen : bool (h, w), True where pen was taken out
    """

    mask: Mask
    region: Region
    downsample: float
    removed: tuple[str, ...] = ()
    pen: Mask = field(default_factory=lambda: np.zeros((0, 0), bool))
    _sums: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", _summed(self.mask))

    @property
    def area(self) -> float:
        """Tissue in level-0 px²."""
        return float(self.mask.mean()) * self.region.area

    def share(self, region: Region) -> float:
        """Tissue's share of a region in [0, 1]; what lies outside the mask counts as no tissue."""
        return _share(self._sums, self.mask.shape, self.region, region)

    def shares(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
        """Tissue's share of each cell between edges x (n + 1) and y (m + 1), level 0: (m, n), as `share` has it."""
        inside_x = (x.clip(self.region.x, self.region.right) - self.region.x) * self.mask.shape[1] / self.region.width
        inside_y = (y.clip(self.region.y, self.region.bottom) - self.region.y) * self.mask.shape[0] / self.region.height
        tissue = np.diff(np.diff(_interpolated(self._sums, inside_y, inside_x), axis=0), axis=1)
        cells = np.outer(np.diff(y), np.diff(x)) * (self.mask.size / self.region.area)  # in pixels of the mask
        shares: NDArray[np.float64] = (tissue / cells).clip(0.0, 1.0)
        return shares

    def pen_share(self, region: Region) -> float:
        """Pen's share of a region in [0, 1]."""
        return _share(_summed(self.pen), self.pen.shape, self.region, region) if self.pen.any() else 0.0


def tissue_mask(slide: Slide, region: Region | None = None) -> TissueMask:
    """Tissue of a slide's scanned area, or of a region at a finer scale.

    A pixel is tissue where it absorbs more than glass does, by a margin settled once on the whole slide: a
    box that lies inside tissue is all tissue, whatever is darkest in it. Dark-field (fluorescence) slides and
    blank ones give an empty mask that says so. Kept for as long as the slide is open.
    """
    whole = _whole(slide)
    if region is None or region == whole.mask.region:
        return whole.mask
    clamped = region.clamp(slide.size)
    if clamped is None:
        return TissueMask(np.zeros((1, 1), bool), region, float(max(region.width, region.height)))
    finest = math.sqrt(clamped.area / REGION_PIXELS)
    if finest >= whole.mask.downsample or whole.background.field != "bright field":
        return _cut(whole.mask, clamped)
    return _fine(slide, clamped, max(1.0, finest), whole)


@dataclass(frozen=True, slots=True)
class _Whole:
    mask: TissueMask
    background: Background


_kept: WeakKeyDictionary[Slide, _Whole] = WeakKeyDictionary()
_lock = Lock()


def _whole(slide: Slide) -> _Whole:
    with _lock:
        if slide in _kept:
            return _kept[slide]
    found = _look(slide)
    with _lock:
        _kept[slide] = found
    return found


def background_of(slide: Slide) -> Background:
    """The slide's background, from the same overview as its mask."""
    return _whole(slide).background


def _look(slide: Slide) -> _Whole:
    box = slide.bounds
    shrink = max(1.0, math.sqrt(box.area / SLIDE_PIXELS))
    overview = slide.thumbnail(max(1, round(max(box.width, box.height) / shrink)))
    downsample = math.sqrt(box.area / (overview.shape[0] * overview.shape[1]))
    background, density = find_background(overview)
    if background.field != "bright field":
        empty = np.zeros(overview.shape[:2], bool)
        return _Whole(TissueMask(empty, box, downsample, (_NOTHING[background.field],)), background)
    marks = find_marks(overview, density, downsample * (slide.mpp or _ASSUMED_MPP), background)
    mask, removed = _clean(
        _tissue(density, background, downsample, slide.mpp) & ~marks.pen & ~marks.frame, downsample, slide.mpp, None
    )
    return _Whole(TissueMask(mask & ~marks.pen, box, downsample, (*marks.said, *removed), marks.pen), background)


_NOTHING = {
    "dark field": "Everything: the slide is dark (fluorescence, or a failed export), bright-field tissue is not "
    "to be found on it.",
    "blank": "Everything: the slide shows nothing but glass.",
}


def _fine(slide: Slide, region: Region, downsample: float, whole: _Whole) -> TissueMask:
    size = Size(max(1, round(region.width / downsample)), max(1, round(region.height / downsample)))
    try:
        pixels: Pixels = slide.read_size(region, size)
    except RegionTooLarge:
        return _cut(whole.mask, region)
    coarse = _resampled(whole.mask.mask, whole.mask.region, region, size)
    pen = (
        _resampled(whole.mask.pen, whole.mask.region, region, size)
        if whole.mask.pen.any()
        else np.zeros(coarse.shape, bool)
    )
    density = optical_density(pixels, whole.background.glass)
    mask, removed = _clean(
        _tissue(density, whole.background, downsample, slide.mpp) & ~pen, downsample, slide.mpp, coarse
    )
    said = tuple(sentence for sentence in whole.mask.removed if "pen" in sentence) if pen.any() else ()
    return TissueMask(mask & ~pen, region, downsample, (*said, *removed), pen)


def _tissue(density: NDArray[np.float32], background: Background, downsample: float, mpp: float | None) -> Mask:
    """What absorbs clearly, and areas of faint texture; thin faint lines are stitching seams, not tissue."""
    dense, faint = absorbing(density, background)
    areas = opened(_close(faint, _GAP_UM / (downsample * (mpp or _ASSUMED_MPP))), 7)
    tissue: Mask = dense | (areas & (density > 0))
    return tissue


def _cut(mask: TissueMask, region: Region) -> TissueMask:
    downsample = mask.downsample
    size = Size(max(1, round(region.width / downsample)), max(1, round(region.height / downsample)))
    pen = _resampled(mask.pen, mask.region, region, size) if mask.pen.any() else np.zeros((0, 0), bool)
    return TissueMask(_resampled(mask.mask, mask.region, region, size), region, downsample, mask.removed, pen)


def _resampled(mask: Mask, covers: Region, region: Region, size: Size) -> Mask:
    """The mask's value at the centre of each pixel of a region; False outside."""
    columns = region.x + (np.arange(size.width) + 0.5) * region.width / size.width - covers.x
    rows = region.y + (np.arange(size.height) + 0.5) * region.height / size.height - covers.y
    x = np.floor(columns * mask.shape[1] / covers.width).astype(int)
    y = np.floor(rows * mask.shape[0] / covers.height).astype(int)
    inside = np.outer((y >= 0) & (y < mask.shape[0]), (x >= 0) & (x < mask.shape[1]))
    values: Mask = mask[np.ix_(y.clip(0, mask.shape[0] - 1), x.clip(0, mask.shape[1] - 1))]
    return values & inside


def _clean(found: Mask, downsample: float, mpp: float | None, around: Mask | None) -> tuple[Mask, tuple[str, ...]]:
    """Closes gaps and holes, drops specks; `around` says what is tissue just past the border of a region."""
    um = downsample * (mpp or _ASSUMED_MPP)
    closed = _close(found, _GAP_UM / um)
    filled = _fill(closed, _HOLE_UM2 / um**2, around)
    smallest = max(_SPECK_UM2 / um**2, 4.0)
    kept, count = _drop_specks(filled, smallest)
    if not count:
        return kept, ()
    share = float((filled & ~kept).sum()) / max(1, int(filled.sum()))
    across = f" smaller than {2 * math.sqrt(smallest / math.pi) * um:.0f} µm across" if mpp else ""
    return kept, (
        f"{count} {'speck' if count == 1 else 'specks'}{across}, {share:.1%} of the tissue found (dust, loose cells).",
    )


def _close(mask: Mask, radius: float) -> Mask:
    if radius < 0.7 or not mask.any():
        return mask
    pad = math.ceil(radius) + 1
    padded = np.pad(mask, pad)
    closed = ~within(~within(padded, radius), radius)
    return (closed | padded)[pad:-pad, pad:-pad]


def _fill(mask: Mask, largest: float, around: Mask | None) -> Mask:
    from scipy import ndimage

    ring = np.pad(mask, 1)
    if around is not None:
        edge = np.pad(around, 1, mode="edge")
        edge[1:-1, 1:-1] = False
        ring = ring | edge
    labels, count = ndimage.label(~ring)
    if not count:
        return mask
    areas = np.bincount(labels.ravel())
    outer = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    small = areas <= largest
    small[outer] = False
    small[0] = False
    filled: Mask = mask | small[labels][1:-1, 1:-1]
    return filled


def _drop_specks(mask: Mask, smallest: float) -> tuple[Mask, int]:
    from scipy import ndimage

    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if not count:
        return mask, 0
    keep = np.bincount(labels.ravel()) >= smallest
    keep[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True  # they go on outside
    keep[0] = False
    return keep[labels], int(count - keep.sum())


def _summed(mask: Mask) -> NDArray[np.float64]:
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    sums[1:, 1:] = mask.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return sums


def _share(sums: NDArray[np.float64], shape: tuple[int, ...], covers: Region, region: Region) -> float:
    part = covers.intersect(region)
    if part is None:
        return 0.0
    x = np.array([part.x - covers.x, part.right - covers.x]) * shape[1] / covers.width
    y = np.array([part.y - covers.y, part.bottom - covers.y]) * shape[0] / covers.height
    corners = _interpolated(sums, y, x)
    tissue = corners[1, 1] - corners[0, 1] - corners[1, 0] + corners[0, 0]
    inside = tissue / max((x[1] - x[0]) * (y[1] - y[0]), 1e-12)
    return float(np.clip(inside * part.area / region.area, 0.0, 1.0))


def _interpolated(sums: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear values of a summed table: exact for a mask whose pixels are uniform."""
    y0, x0 = np.floor(y).astype(int).clip(0, sums.shape[0] - 2), np.floor(x).astype(int).clip(0, sums.shape[1] - 2)
    fy, fx = (y - y0)[:, None], (x - x0)[None, :]
    top = sums[np.ix_(y0, x0)] * (1 - fx) + sums[np.ix_(y0, x0 + 1)] * fx
    bottom = sums[np.ix_(y0 + 1, x0)] * (1 - fx) + sums[np.ix_(y0 + 1, x0 + 1)] * fx
    values: NDArray[np.float64] = top * (1 - fy) + bottom * fy
    return values
