"""The routes that carry pixels: tiles for the viewer, thumbnails for the filmstrip."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter, HTTPException, Request, Response

from slides import PathcopilotError, Region, Size

from .rack import Rack
from .tiles import encoded

CACHE_BYTES = 96 << 20
FIELD_PX = 240
"""Longer side of a filmstrip thumbnail."""

# Tissue is patient data: it stays in memory, here and in the browser.
_HEADERS = {"Cache-Control": "no-store", "Content-Disposition": "inline"}


class Shelved:
    """Encoded pictures by key, least recently used out first; thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held = 0
        self._items: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...]) -> bytes | None:
        """The picture, or None."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: tuple[object, ...], picture: bytes) -> None:
        """Keeps a picture, letting the oldest go when the capacity in bytes is passed."""
        with self._lock:
            self._held += len(picture) - len(self._items.pop(key, b""))
            self._items[key] = picture
            while self._held > self._capacity:
                self._held -= len(self._items.popitem(last=False)[1])


def picture_routes(rack: Rack) -> APIRouter:
    """`GET /tiles/{key}/{level}/{col}_{row}.jpg` and `GET /fields/{key}/{x}_{y}_{width}_{height}.jpg`.

    404 for a slide or a place that is not there, 422 for a slide that does not open or numbers that are none.
    """
    routes = APIRouter()
    cache = Shelved(CACHE_BYTES)
    decoders = max(2, min(4, os.cpu_count() or 2))
    pool = ThreadPoolExecutor(decoders, thread_name_prefix="tiles")
    gate = asyncio.Semaphore(decoders)

    async def answer(request: Request, key: tuple[object, ...], make: Callable[[], bytes]) -> Response:
        picture = cache.get(key)
        if picture is None:
            async with gate:
                if await request.is_disconnected():  # panned away while it waited: decode nothing
                    return Response(status_code=499)
                try:
                    picture = await asyncio.get_running_loop().run_in_executor(pool, make)
                except (IndexError, KeyError):
                    raise HTTPException(404, "no such place on this slide") from None
                except PathcopilotError as error:
                    raise HTTPException(422, str(error)) from None
            cache.put(key, picture)
        return Response(picture, media_type="image/jpeg", headers=_HEADERS)

    @routes.get("/tiles/{key}/{level}/{col}_{row}.jpg")
    async def tile(request: Request, key: str, level: int, col: int, row: int) -> Response:
        return await answer(
            request,
            ("tile", key, level, col, row),
            lambda: encoded(rack.pyramid(key).tile(level, col, row)),
        )

    @routes.get("/fields/{key}/{x}_{y}_{width}_{height}.jpg")
    async def field(request: Request, key: str, x: int, y: int, width: int, height: int) -> Response:
        return await answer(
            request, ("field", key, x, y, width, height), lambda: _field(rack, key, x, y, width, height)
        )

    return routes


def _field(rack: Rack, key: str, x: int, y: int, width: int, height: int) -> bytes:
    pyramid = rack.pyramid(key)
    region = Region(x, y, width, height).clamp(pyramid.slide.size) if width > 0 and height > 0 else None
    if region is None:
        raise IndexError
    scale = min(1.0, FIELD_PX / max(region.width, region.height))
    size = Size(max(1, round(region.width * scale)), max(1, round(region.height * scale)))
    return encoded(pyramid.picture(region, size))
