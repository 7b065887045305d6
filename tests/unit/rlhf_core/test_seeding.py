"""Streams of randomness by name."""

import subprocess
import sys

import pytest
import torch

from rlhf_core.seeding import endless_order, epoch_batches, generator_for


def test_equal_names_give_equal_streams_and_others_do_not() -> None:
    # Guards: two purposes that share their numbers.
    names = [(0,), (1,), (0, "a"), (0, "b"), (0, "a", 1), (0, "a", 2)]
    streams = [tuple(torch.rand(3, generator=generator_for(*name)).tolist()) for name in names]
    assert len(set(streams)) == len(names)
    again = tuple(torch.rand(3, generator=generator_for(0, "a", 1)).tolist())
    assert again == streams[4]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_streams_do_not_depend_on_the_process(hash_seed: str) -> None:
    # Guards: Python's own hash() of the name, which differs from process to process.
    program = (
        "import torch; from rlhf_core.seeding import generator_for;"
        "print(torch.rand(2, generator=generator_for(3, 'x', 1)).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": hash_seed, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    assert done.stdout.strip() == str(torch.rand(2, generator=generator_for(3, "x", 1)).tolist())


@pytest.mark.parametrize(("items", "size"), [(10, 3), (4, 4), (3, 8), (1, 1)])
def test_an_epoch_visits_each_item_once(items: int, size: int) -> None:
    # Guards: a dropped last batch, sampling with replacement.
    batches = epoch_batches(items, size, 0, "x")
    assert sorted(i for batch in batches for i in batch) == list(range(items))
    assert all(len(batch) == size for batch in batches[:-1])


def test_epochs_are_shuffled_apart() -> None:
    # Guards: one permutation for all epochs.
    orders = {str(epoch_batches(20, 5, 0, "x", epoch)) for epoch in range(4)}
    assert len(orders) == 4
    assert epoch_batches(20, 5, 0, "x", 1) == epoch_batches(20, 5, 0, "x", 1)


def test_an_endless_order_is_one_permutation_after_the_other() -> None:
    # Guards: items left out or repeated within a pass, one permutation for all passes.
    order = endless_order(7, 0, 28, 0, "x")
    passes = [order[start : start + 7] for start in range(0, 28, 7)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({str(one) for one in passes}) == 4
    assert order != endless_order(7, 0, 28, 1, "x")
    assert order != endless_order(7, 0, 28, 0, "y")


@pytest.mark.parametrize("size", [1, 3, 7, 10])
def test_any_part_of_an_endless_order_can_be_had_alone(size: int) -> None:
    # Guards: a step whose items depend on the steps before it, which a resumed run cannot know.
    whole = endless_order(7, 0, 40, 0, "x")
    parts = [endless_order(7, start, size, 0, "x") for start in range(0, 40, size)]
    assert [i for part in parts for i in part][:40] == whole


def test_more_items_than_there_are_come_round_again() -> None:
    # Guards: a batch cut short by a small set of prompts.
    order = endless_order(2, 3, 9, 0, "x")
    assert len(order) == 9
    assert abs(order.count(0) - order.count(1)) == 1
