"""Which sets people are handed, and how often: shared sets, gold sets and retests.

* A shared set is ranked by several annotators, so that agreement can be measured. Its purpose stays
  "main", since a purpose is part of what a set is.
* A gold set is a copy in which one response is damaged: cut to its first words, its words in
  another order, or a reply to another prompt. Care shows in not ranking that one above the others.
  It looks like all other work, and its damage is plain or it is not made.
* A retest is a set that its annotator gets once more, later and in another order.

Everything is a function of the sets, the config and the seed, whatever the order of the sets. Gold
sets and retests train nothing.

Omitted on purpose: choosing prompts by what a model is unsure of. It has not been shown to beat
chance where all reward models share one base, and chance keeps every figure unbiased.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data.identity import response_id, set_id
from data.rankers.human_config import HumanConfig
from data.sets import SCHEMA, Response, ResponseSet

DAMAGED = "damaged"

_TRAINS = ("main", "overlap")
_MIN_UNITS = 8  # Fewer words, and neither a cut nor another order is plain damage.
_KEPT_WORDS, _KEPT_CHARACTERS = 3, 6
_DONORS = 48
_MAX_LIKENESS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The work.

    Attributes:
        added: set/1 rows of gold sets and retests, in order of their ids.
        want: How many annotators shall answer each set, given and added ones, by id.
        wanted: Rankings of given sets with which training may start.
    """

    added: tuple[dict[str, Any], ...]
    want: dict[str, int]
    wanted: int


def plan_sets(sets: Sequence[ResponseSet], config: HumanConfig, *, seed: int) -> Plan:
    """Plan the work for people.

    Args:
        sets: The sets of a run, in any order, each once.
        config: Shares and numbers.
        seed: Changes which sets are shared, copied and repeated.

    Returns:
        The sets to add, and how often each is wanted.
    """
    training = [it for it in sets if it.purpose in _TRAINS]
    count = len(training)
    dealt = _shuffled(training, f"share|{seed}")
    shared = dealt[: round(config.shared_fraction * count)]
    single = dealt[len(shared) :]
    gold = list(_gold_sets(training, round(config.gold_fraction * count), f"gold|{seed}"))
    # Of a set that one annotator had, one retest is enough.
    again = _shuffled(single, f"retest|{seed}")[: round(config.retest_fraction * count)]
    want = {it.set_id: 1 for it in sets}
    want |= dict.fromkeys((it.set_id for it in shared), config.shared_by)
    want |= dict.fromkeys((row["set_id"] for row in gold), config.shared_by)
    retests = [_row(it, it.responses, _retest_id(it.set_id), "retest") for it in again]
    want |= {row["set_id"]: 1 for row in retests}
    return Plan(
        added=tuple(sorted(gold + retests, key=lambda row: str(row["set_id"]))),
        want=dict(sorted(want.items())),
        wanted=config.wanted_rankings or count,
    )


def _gold_sets(sets: Sequence[ResponseSet], count: int, key: str) -> Iterator[dict[str, Any]]:
    """Copies of sets with one response damaged, as many as wanted and possible."""
    if count == 0:
        return
    donors = _shuffled(sets, f"donor|{key}")
    made = 0
    for original in _shuffled(sets, key):
        responses = _with_damage(original, donors, f"{key}|{original.set_id}")
        if responses is not None:
            name = set_id(original.prompt_id, [it.response_id for it in responses])
            yield _row(original, responses, name, "gold")
            made += 1
        if made == count:
            return


def _with_damage(
    original: ResponseSet, donors: Sequence[ResponseSet], key: str
) -> tuple[Response, ...] | None:
    """The responses, one of them damaged; None if no damage to any of them is plain."""
    ways: list[Callable[[str], str | None]] = [
        _cut,
        lambda text: _scramble(text, key),
        lambda _: _foreign(original, donors, key),
    ]
    taken = {_as_seen(it.text) for it in original.responses}
    tries = [(place, way) for place in range(len(original.responses)) for way in range(len(ways))]
    for place, way in sorted(tries, key=lambda it: _digest(f"{key}|{it}")):
        text = ways[way](original.responses[place].text)
        if text is not None and _as_seen(text) not in taken:
            name = response_id(original.prompt_id, text)
            damaged = Response(response_id=name, text=text, generator=DAMAGED)
            return (*original.responses[:place], damaged, *original.responses[place + 1 :])
    return None


def _cut(text: str) -> str | None:
    """The first few words; None where little would be missing."""
    units, joint = _units(text)
    kept = _KEPT_WORDS if joint else _KEPT_CHARACTERS
    return joint.join(units[:kept]) if len(units) >= max(_MIN_UNITS, 2 * kept) else None


def _scramble(text: str, key: str) -> str | None:
    """The words in another order; None where there are few."""
    units, joint = _units(text)
    if len(units) < _MIN_UNITS:
        return None
    places = sorted(range(len(units)), key=lambda it: _digest(f"scramble|{key}|{it}"))
    return joint.join(units[it] for it in places)


def _foreign(original: ResponseSet, donors: Sequence[ResponseSet], key: str) -> str | None:
    """Of some replies to other prompts the one least like this set; None if all are like it."""
    here = _trigrams(
        " ".join(
            [it["content"] for it in original.messages] + [it.text for it in original.responses]
        )
    )
    start = int(_digest(f"donor|{key}")[:8], 16) % len(donors)
    some = [donors[(start + step) % len(donors)] for step in range(min(_DONORS, len(donors)))]
    texts = [it.responses[0].text for it in some if it.prompt_id != original.prompt_id]
    likeness = {text: _likeness(_trigrams(text), here) for text in texts}
    least = min(texts, key=lambda text: (likeness[text], _digest(f"{key}|{text}")), default=None)
    return least if least is not None and likeness[least] < _MAX_LIKENESS else None


def _units(text: str) -> tuple[list[str], str]:
    """Words and what joins them; single characters where a script has no spaces."""
    words = text.split()
    if len(words) < _MIN_UNITS and len(text) >= 3 * _MIN_UNITS and not text.isascii():
        return [it for it in text if not it.isspace()], ""
    return words, " "


def _trigrams(text: str) -> set[str]:
    text = f" {' '.join(text.casefold().split())} "
    return {text[place : place + 3] for place in range(len(text) - 2)}


def _likeness(one: set[str], other: set[str]) -> float:
    """The share of the first that the second holds too."""
    return len(one & other) / len(one) if one else 1.0


def _as_seen(text: str) -> str:
    """Equal for texts that an annotator cannot tell apart."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _retest_id(of: str) -> str:
    """Another id than that of the set with the same responses."""
    return f"s_{_digest(f'retest|{of}')[:16]}"


def _row(
    original: ResponseSet, responses: Sequence[Response], name: str, purpose: str
) -> dict[str, Any]:
    """A set/1 row that differs from its original in what is given."""
    row = {
        "schema": SCHEMA,
        "set_id": name,
        "prompt_id": original.prompt_id,
        "messages": original.messages,
        "responses": [
            {"response_id": it.response_id, "text": it.text, "generator": it.generator}
            for it in responses
        ],
        "guideline_version": original.guideline_version,
        "campaign": original.campaign,
        "purpose": purpose,
    }
    return {**row, "retest_of": original.set_id} if purpose == "retest" else row


def _shuffled(sets: Sequence[ResponseSet], key: str) -> list[ResponseSet]:
    """The sets in an order that depends on their ids and the key alone."""
    return sorted(sets, key=lambda it: _digest(f"{key}|{it.set_id}"))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
