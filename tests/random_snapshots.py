"""Snapshots drawn by hypothesis: sets of any purpose, answers of any kind, and their revisions."""

from hypothesis import strategies as st

from tests.snapshots import Snapshot

PURPOSES = ("main", "overlap", "gold", "retest", "calibration")
OUTCOMES = ("ranked",) * 6 + ("skipped", "not_rankable")
ANNOTATORS = ("x", "y", "z")


def fill(snapshot: Snapshot, data: st.DataObject, *, coverages: tuple[str, ...]) -> None:
    """Put four to 14 sets of a few prompts, and answers to them, into an empty snapshot."""
    for rows in snapshot.tables.values():
        rows.clear()
    prompts: dict[str, str] = {}
    for s in range(data.draw(st.integers(4, 14))):
        purpose = data.draw(st.sampled_from(PURPOSES)) if s else "main"
        prompt = "p0" if purpose == "retest" else f"p{data.draw(st.integers(0, s))}"
        if prompt not in prompts:
            prompts[prompt] = f"f{data.draw(st.integers(0, 3))}"
            snapshot.prompt(prompt, family=prompts[prompt])
        ids = _responses(snapshot, data, prompt, purpose)
        snapshot.set(
            f"s{s}",
            prompt,
            " ".join(ids),
            purpose=purpose,
            retest_of="s0" if purpose == "retest" else None,
            texts={one: "x" * data.draw(st.integers(1, 3)) for one in ids},
        )
        for name in sorted(data.draw(st.sets(st.sampled_from(ANNOTATORS)))):
            for revision in range(1, data.draw(st.integers(1, 2)) + 1):
                _answer(snapshot, data, f"s{s}", name=name, revision=revision, coverages=coverages)


def _responses(snapshot: Snapshot, data: st.DataObject, prompt: str, purpose: str) -> list[str]:
    """Two sets of one prompt may share responses, or lack them."""
    if purpose == "retest":
        return [row[1] for row in snapshot.tables["ranking_set_item"] if row[0] == "s0"]
    first = data.draw(st.integers(0, 2))
    ids = [f"{prompt}_{i}" for i in range(first, first + data.draw(st.integers(2, 4)))]
    return [f"damaged_{prompt}", *ids[1:]] if purpose == "gold" else ids


def _answer(
    snapshot: Snapshot,
    data: st.DataObject,
    one_set: str,
    *,
    name: str,
    revision: int,
    coverages: tuple[str, ...],
) -> None:
    ids = [row[1] for row in snapshot.tables["ranking_set_item"] if row[0] == one_set]
    coverage = data.draw(st.sampled_from(coverages))
    most_left_out = {"full": 0, "top": len(ids) - 1, "subset": len(ids) - 2}[coverage]
    ranked = ids[data.draw(st.integers(min(1, most_left_out), most_left_out)) :]
    if len(ranked) == len(ids):
        coverage = "full"
    drawn = [data.draw(st.integers(1, 3)) for _ in ranked]
    dense = sorted(set(drawn))
    snapshot.rank(
        f"k_{one_set}_{name}_{revision}",
        one_set,
        {one: dense.index(tier) + 1 for one, tier in zip(ranked, drawn, strict=True)},
        annotator=name,
        revision=revision,
        outcome=data.draw(st.sampled_from(OUTCOMES)),
        coverage=coverage,
        shown=" ".join(data.draw(st.permutations(ids))),
        active_ms=data.draw(st.sampled_from([0, 1000, 2500])),
    )
