"""All planted bugs."""

from itertools import chain

from tests.mutation import table_reward, table_rollout, table_shared, table_updates

MUTANTS = [
    *table_shared.MUTANTS,
    *table_reward.MUTANTS,
    *table_rollout.MUTANTS,
    *table_updates.MUTANTS,
]


def named_tests() -> list[str]:
    """Node ids of the tests that any mutant names."""
    return sorted(set(chain.from_iterable(mutant.node_ids() for mutant in MUTANTS)))
