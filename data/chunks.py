"""Many items in lists of bounded length and size: memory does not grow with their number."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def chunks(
    items: Iterable[Item], size_of: Callable[[Item], int], *, max_items: int, max_bytes: int
) -> Iterator[list[Item]]:
    """Yield the items in order, in lists of at most max_items.

    Args:
        items: Any number of them.
        size_of: Bytes of one.
        max_items: A list ends when it has this many.
        max_bytes: A list ends when it passes this size; so it may be larger by one item.
    """
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += size_of(item)
        if len(chunk) == max_items or size > max_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
