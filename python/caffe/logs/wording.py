"""Numbers in words: how many there are, and how long it takes."""

from __future__ import annotations


def counted(count: int, one: str, several: str | None = None) -> str:
    """So many things: "1 image", "0 images", "2 entries"; several: what more than one are called, `one` with an s."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def duration(seconds: float) -> str:
    """So many seconds in the two units that say enough: "45 s", "12 min", "3 h 20 min"."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
