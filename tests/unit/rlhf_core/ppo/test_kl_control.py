"""The adaptive KL coefficient in OpenAI's units."""

import pytest

from rlhf_core.ppo.kl_control import adapted_kl_coef


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(6.0, 1.0), (4.8, 0.98976), (0.0, 0.98976), (-3.0, 0.98976), (7.2, 1.01024), (99.0, 1.01024)],
)
def test_reference_numbers_at_batch_512(kl: float, factor: float) -> None:
    # Guards: an unclipped error, the reversed sign, episodes left out.
    found = adapted_kl_coef(0.15, kl, target=6.0, horizon=10000, num_episodes=512)
    assert found == pytest.approx(0.15 * factor, rel=1e-9)


def test_small_errors_move_it_in_proportion() -> None:
    # Guards: a controller that only knows its two limits.
    found = adapted_kl_coef(1.0, 6.6, target=6.0, horizon=1000, num_episodes=100)
    assert found == pytest.approx(1.01)
