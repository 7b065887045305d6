"""The order in which an annotator sees the responses of a set."""

import hmac
from collections.abc import Iterable

from data.identity import canonical_json


def shuffle(secret: bytes, set_id: str, annotator_id: str, ids: Iterable[str]) -> list[str]:
    """Return ids in the order in which an annotator sees them.

    Each id is placed by a keyed hash of set, annotator and id: the same order each time, another
    one for each set and annotator, and nobody without the secret can foretell it.
    """

    def place(one: str) -> bytes:
        text = canonical_json([set_id, annotator_id, one])
        return hmac.digest(secret, text.encode(), "sha256")

    return sorted(ids, key=place)
