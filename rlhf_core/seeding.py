"""Randomness from (seed, purpose, step), so that no generator's state has to be carried along."""

import hashlib
from functools import lru_cache

import torch
from torch import Generator


def generator_for(seed: int, *purpose: str | int, device: str = "cpu") -> Generator:
    """A fresh generator; equal arguments give equal streams in every process."""
    name = "/".join(map(str, (seed, *purpose)))
    digest = hashlib.sha256(name.encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def epoch_batches(
    num_items: int, batch_size: int, seed: int, *purpose: str | int
) -> list[list[int]]:
    """A permutation of range(num_items) in batches; the last may be smaller."""
    order = _permutation(num_items, seed, *purpose)
    return [list(order[i : i + batch_size]) for i in range(0, num_items, batch_size)]


def endless_order(
    num_items: int, start: int, count: int, seed: int, *purpose: str | int
) -> list[int]:
    """Places `start` to `start + count` of an endless row of permutations of range(num_items).

    A position is all the state there is: any part of the row can be had without what came before.
    """
    order = []
    for place in range(start, start + count):
        number, offset = divmod(place, num_items)
        order.append(_permutation(num_items, seed, *purpose, number)[offset])
    return order


@lru_cache(maxsize=4)  # a pass over many items is asked for at each of its steps
def _permutation(num_items: int, seed: int, *purpose: str | int) -> tuple[int, ...]:
    return tuple(torch.randperm(num_items, generator=generator_for(seed, *purpose)).tolist())
