"""Chooses the prompts that will be answered and ranked.

The choice is a ranking by hash, so that it depends on the seed and the prompts alone: not on their
order, not on a generator of some library's version.

Omitted on purpose: the test split, which evaluation alone reads, and choosing prompts by what a
model is unsure of.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from data.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    """How many prompts to answer.

    Attributes:
        train: Prompts of the train split.
        validation: Prompts of the validation split; 0 for none.
    """

    train: int = 256
    validation: int = 64

    def __post_init__(self) -> None:
        """Refuses counts that leave nothing to learn from.

        Raises:
            ValueError: A count is out of range.
        """
        if self.train < 1:
            raise ValueError(f"train is {self.train}; give at least 1 prompt")
        if self.validation < 0:
            raise ValueError(f"validation is {self.validation}; give 0 or more prompts")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledPrompts:
    """The choice.

    Attributes:
        prompts: The chosen rows of the prompts table, in its order.
        notes: Where fewer prompts exist than were asked for, one sentence each.
    """

    prompts: pl.DataFrame
    notes: tuple[str, ...]


def sample_prompts(prompts: pl.DataFrame, config: SampleConfig, *, seed: int) -> SampledPrompts:
    """Samples train and validation prompts, stratified.

    Args:
        prompts: The prompts table; every stratum of a split gets its share of the sample.
        config: How many prompts of each split.
        seed: Changes the choice.

    Returns:
        The chosen rows.

    Raises:
        InputError: A split of which prompts are wanted holds none.
    """
    chosen: set[str] = set()
    notes: list[str] = []
    for split, wanted in (("train", config.train), ("validation", config.validation)):
        pool = prompts.filter(pl.col("split") == split)
        if wanted and pool.is_empty():
            raise InputError(
                f"prompts: the {split} split holds no prompt, but sample.{split} = {wanted};"
                f" add prompts, raise corpus.{split} or lower sample.{split}"
            )
        if pool.height < wanted:
            notes.append(f"only {pool.height} {split} prompts exist; {wanted} were asked for")
        chosen |= _choose(pool, min(wanted, pool.height), seed)
    rows = prompts.filter(pl.col("prompt_id").is_in(sorted(chosen)))
    return SampledPrompts(prompts=rows, notes=tuple(notes))


def allocate(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Shares out a count in proportion to sizes, by the largest remainder.

    Args:
        sizes: Members of each stratum.
        count: What to share out, at most the sum of the sizes.

    Returns:
        A number for each stratum, at most its size; they add up to count. Equal remainders go to
        the stratum whose name sorts first.

    Raises:
        ValueError: The count is more than there is.
    """
    total = sum(sizes.values())
    if count > total:
        raise ValueError(f"count is {count}, but the strata hold {total}")
    if count == 0:
        return dict.fromkeys(sizes, 0)
    shares = {name: divmod(count * size, total) for name, size in sizes.items()}
    left = count - sum(whole for whole, _ in shares.values())
    by_remainder = sorted(shares, key=lambda name: (-shares[name][1], name))
    favoured = set(by_remainder[:left])
    return {name: whole + (name in favoured) for name, (whole, _) in shares.items()}


def _choose(pool: pl.DataFrame, count: int, seed: int) -> set[str]:
    """Ids of the first prompts of each stratum by the hash of (seed, prompt_id)."""
    strata: dict[str, list[str]] = {}
    for name, prompt in pool.select("stratum", "prompt_id").iter_rows():
        strata.setdefault(name, []).append(prompt)
    quota = allocate({name: len(members) for name, members in strata.items()}, count)
    return {
        prompt
        for name, members in strata.items()
        for prompt in sorted(members, key=lambda it: _rank(seed, it))[: quota[name]]
    }


def _rank(seed: int, prompt: str) -> str:
    """A prompt's place in the seed's order."""
    return hashlib.sha256(f"sample|{seed}|{prompt}".encode()).hexdigest()
