"""Padding, joining and where the response stands."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf_core.collate import (
    Dialogues,
    gather_positions,
    is_within,
    join,
    last_real,
    pad_right,
    response_positions,
)
from tests.unit.rlhf_core.builders import PAD

ROWS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=5)


@settings(deadline=None)
@given(ROWS)
def test_padding_loses_nothing(rows: list[list[int]]) -> None:
    # Guards: lengths read off the ids, which fails where a real token equals PAD.
    padded = pad_right(rows, PAD)
    lengths = padded.lengths.tolist()
    assert [r[:n] for r, n in zip(padded.ids.tolist(), lengths, strict=True)] == rows
    assert padded.ids.shape[1] == max(map(len, rows))
    assert all((padded.ids[i, n:] == PAD).all() for i, n in enumerate(lengths))


@settings(deadline=None)
@given(ROWS, ROWS, st.integers(0, 2))
def test_positions_point_before_each_response_token(
    prompts: list[list[int]], responses: list[list[int]], extra: int
) -> None:
    # Guards: log-probabilities shifted by one token, a value after the end that reads padding.
    count = min(len(prompts), len(responses))
    prompts, responses = prompts[:count], responses[:count]
    batch = join(prompts, responses, PAD)
    positions = response_positions(batch, max(map(len, responses)) + extra)
    assert positions.shape == (count, max(map(len, responses)) + extra)
    assert batch.response_lengths.tolist() == [*map(len, responses)]
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        where, beyond = positions[row][: len(response)], positions[row][len(response) :]
        assert where.tolist() == list(range(len(prompt) - 1, len(prompt) + len(response) - 1))
        assert batch.ids[row][where + 1].tolist() == response
        assert (beyond == len(prompt) + len(response) - 1).all()
    assert int(positions.max()) < batch.ids.shape[1]


def test_join_keeps_prompt_then_response() -> None:
    # Guards: padding between prompt and response.
    batch = join([[5], [6, 7]], [[8, 9], [4]], PAD)
    assert batch.ids.tolist() == [[5, 8, 9], [6, 7, 4]]
    assert batch.prompt_lengths.tolist() == [1, 2]
    assert batch.lengths.tolist() == [3, 3]


def test_gathered_rows_are_those_at_the_positions() -> None:
    # Guards: a gather along channels.
    values = torch.arange(24.0).view(2, 4, 3)
    rows = gather_positions(values, torch.tensor([[3, 0], [1, 1]]))
    assert rows.tolist() == [[[9, 10, 11], [0, 1, 2]], [[15, 16, 17], [15, 16, 17]]]


def test_within_counts_from_the_left() -> None:
    # Guards: the mask's polarity.
    assert is_within(torch.tensor([0, 2, 3]), 3).tolist() == [
        [False, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize("rows", [[], [[1], []]])
def test_an_empty_batch_or_row_is_refused(rows: list[list[int]]) -> None:
    # Guards: a row whose last real token is at index -1.
    with pytest.raises(ValueError, match="at least one"):
        pad_right(rows, PAD)


def test_a_prompt_without_response_is_refused() -> None:
    # Guards: a silent truncation by zip.
    with pytest.raises(ValueError, match="zip"):
        join([[1], [2]], [[3]], PAD)


def test_response_lengths_are_what_the_prompt_leaves() -> None:
    # Guards: lengths of the padded tensor.
    batch = Dialogues(torch.zeros(2, 7).long(), torch.tensor([7, 4]), torch.tensor([3, 3]))
    assert batch.response_lengths.tolist() == [4, 1]


@settings(deadline=None)
@given(ROWS)
def test_last_real_is_the_row_before_the_padding(rows: list[list[int]]) -> None:
    # Guards: the last column, which is padding in all rows but the longest.
    padded = pad_right(rows, PAD)
    places = torch.arange(padded.ids.shape[1]).expand_as(padded.ids)
    found = last_real(torch.stack([places, -places], dim=-1), padded.lengths)
    assert found.tolist() == [[len(row) - 1, 1 - len(row)] for row in rows]


def test_batches_move_whole() -> None:
    # Guards: ids on one device and lengths on another; fields that change places.
    batch = join([[5], [6, 7]], [[8, 9], [4]], PAD)
    for it in (batch, pad_right([[1, 2], [3]], PAD)):
        moved = it.to(torch.device("meta"))
        assert type(moved) is type(it)
        assert {x.device.type for x in moved} == {"meta"}
        for there, here in zip(it.to(torch.device("cpu")), it, strict=True):
            assert torch.equal(there, here)
