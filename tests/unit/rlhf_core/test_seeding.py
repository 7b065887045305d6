"""Streams of randomness by name."""

import subprocess
import sys

import pytest
import torch

from rlhf_core.seeding import epoch_batches, generator_for


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
