"""Pairs: one response chosen over another, and the pairs that no ranking can agree with.

Omitted on purpose: how each format writes a pair.
"""

import unicodedata
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from data.formats.items import Answer, Candidate
from data.identity import prompt_id, response_id
from data.jsonl import RowError
from data.messages import Message

_SHOWN = 9

_Graph = dict[str, set[str]]


class Edge(NamedTuple):
    """One annotator's preference, and the row that states it."""

    annotator: str
    prompt: str
    chosen: str
    rejected: str
    row: int


def pair_answer(
    messages: list[Message],
    chosen: str,
    rejected: str,
    *,
    annotator: str,
    generators: tuple[str, str],
    is_tie: bool = False,
    doubt: RowError | None = None,
) -> Answer:
    """Return the answer that a pair is.

    Raises:
        RowError: EMPTY_TEXT or SAME_TEXT.
    """
    check_pair(chosen, rejected)
    candidates = (
        Candidate("chosen", chosen, generators[0]),
        Candidate("rejected", rejected, generators[1]),
    )
    return Answer(
        annotator=annotator,
        messages=messages,
        candidates=candidates,
        tiers={"chosen": 1, "rejected": 1 if is_tie else 2},
        is_order_known=False,
        doubt=doubt,
    )


def check_pair(chosen: str, rejected: str) -> None:
    """Refuse a pair of which one side is blank, or whose sides look the same.

    Raises:
        RowError: EMPTY_TEXT or SAME_TEXT.
    """
    for name, text in (("chosen", chosen), ("rejected", rejected)):
        if not text.strip():
            raise RowError("EMPTY_TEXT", name, f"response {name} is empty")
    shown = {unicodedata.normalize("NFC", text.strip()) for text in (chosen, rejected)}
    if len(shown) == 1:
        raise RowError("SAME_TEXT", "rejected", "chosen and rejected are the same text")


def edge_of(answer: Answer, row: int) -> Edge | None:
    """Return the preference that an answer about two responses states; None of a tie."""
    best, *others = sorted(answer.candidates, key=lambda it: answer.tiers.get(it.key, 0))
    if len(others) != 1 or answer.tiers[best.key] == answer.tiers[others[0].key]:
        return None
    prompt = prompt_id(answer.messages)
    first, second = (response_id(prompt, it.text or "") for it in (best, others[0]))
    return Edge(answer.annotator, prompt, first, second, row)


def find_contradictions(edges: Iterable[Edge]) -> dict[int, RowError]:
    """Find the pairs that cannot all hold in one ranking of one annotator.

    Whether a pair is among them does not depend on the order of the rows: all of a circle are.

    Returns:
        Row number -> CONTRADICTION for two pairs against each other, CYCLE for a longer circle.
    """
    by_ranking: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in edges:
        by_ranking[(edge.annotator, edge.prompt)].append(edge)
    errors: dict[int, RowError] = {}
    for group in by_ranking.values():
        if len(group) > 1:
            errors.update(_contradictions(group))
    return errors


def _contradictions(edges: Sequence[Edge]) -> dict[int, RowError]:
    graph: _Graph = defaultdict(set)
    for edge in edges:
        graph[edge.chosen].add(edge.rejected)
    component = _components(graph)
    cycles: dict[int, RowError] = {}
    errors: dict[int, RowError] = {}
    for edge in edges:
        number = component[edge.chosen]
        if number != component[edge.rejected]:
            continue
        if edge.chosen in graph[edge.rejected]:
            message = "the same annotator prefers each over the other"
            errors[edge.row] = RowError("CONTRADICTION", "", message)
            continue
        if number not in cycles:
            cycles[number] = _cycle(graph, edge)
        errors[edge.row] = cycles[number]
    return errors


def _cycle(graph: Mapping[str, set[str]], edge: Edge) -> RowError:
    """Name the shortest circle that an edge is part of."""
    before: dict[str, str] = {edge.rejected: edge.chosen}
    queue = deque([edge.rejected])
    while edge.chosen not in before:
        node = queue.popleft()
        for following in sorted(graph.get(node, ())):
            if following not in before:
                before[following] = node
                queue.append(following)
    path = [edge.chosen]
    while len(path) == 1 or path[-1] != edge.chosen:
        path.append(before[path[-1]])
    names = path[::-1]
    if len(names) > _SHOWN:
        names = [*names[: _SHOWN - 2], "...", names[-1]]
    return RowError("CYCLE", "", f"cycle: {' > '.join(names)}; no ranking agrees")


def _components(graph: Mapping[str, set[str]]) -> dict[str, int]:
    """Number the strongly connected parts of a graph (Kosaraju, without recursion)."""
    backward: _Graph = defaultdict(set)
    for node, followers in graph.items():
        for follower in followers:
            backward[follower].add(node)
    nodes = sorted({*graph, *backward})
    component: dict[str, int] = {}
    for root in reversed(_finished(graph, nodes)):
        if root in component:
            continue
        stack = [root]
        component[root] = len(component)
        while stack:
            for earlier in backward.get(stack.pop(), ()):
                if earlier not in component:
                    component[earlier] = component[root]
                    stack.append(earlier)
    return component


def _finished(graph: Mapping[str, set[str]], nodes: Sequence[str]) -> list[str]:
    """The nodes in the order in which a depth-first walk leaves them."""
    order: list[str] = []
    seen: set[str] = set()
    for root in nodes:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(sorted(graph.get(root, ()))))]
        while stack:
            node, followers = stack[-1]
            following = next((it for it in followers if it not in seen), None)
            if following is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(sorted(graph.get(following, ())))))
    return order
