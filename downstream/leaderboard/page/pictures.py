"""Pictures inside a page: as data, so that it stays one file, and so many as there is room for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from downstream.leaderboard.page.parts import Picture

ROOM = 5_000_000
"""Bytes of a page that pictures may take."""

PNG = b"\x89PNG\r\n\x1a\n"


def pictures_data(pictures: Sequence[Picture], room: int = ROOM) -> dict[str, Any]:
    """The first pictures that there is room for, and how many there were.

    What is no PNG, whatever it is called, and what cannot be read is left out.
    """
    shown: list[dict[str, str]] = []
    for picture in pictures:
        if (content := _png(picture, 3 * (room // 4))) is not None:
            encoded = base64.b64encode(content).decode()
            room -= len(encoded)
            shown.append({"of": picture.of, "caption": picture.caption, "png": encoded})
    return {"shown": shown, "all": len(pictures)}


def _png(picture: Picture, most: int) -> bytes | None:
    """The bytes of a picture; None where it is larger, or none."""
    try:
        with picture.path.open("rb") as file:
            content = file.read(most + 1)
    except OSError:
        return None
    return content if len(content) <= most and content.startswith(PNG) else None
