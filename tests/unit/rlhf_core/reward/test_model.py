"""The reward model: which token it reads, and what it must not depend on."""

import math
from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.collate import Dialogues, is_within, join, pad_right
from rlhf_core.reward.losses import ranking_loss
from rlhf_core.reward.model import RewardModel, reward_model_from, score
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    alone,
    are_equal,
    ragged_dialogues,
    tiny_policy,
    tiny_reward_model,
    token_rows,
    weights_of,
    with_padding_of,
)

BATCH = ragged_dialogues()
MASK = is_within(BATCH.lengths, BATCH.ids.shape[1])


def test_prompt_mask_and_lengths_exclude_each_other() -> None:
    # Guards: two statements about the prompt, of which one is silently ignored.
    model = tiny_reward_model()
    lengths = BATCH.prompt_lengths
    with pytest.raises(ValueError, match="prompt_mask or prompt_lengths"):
        model(BATCH.ids, MASK, prompt_mask=is_within(lengths, 7), prompt_lengths=lengths)


@torch.no_grad()
def test_prompt_mask_and_lengths_say_the_same() -> None:
    # Guards: lengths turned into a mask with the wrong polarity.
    model = tiny_reward_model()
    by_mask = is_within(BATCH.prompt_lengths, BATCH.ids.shape[1])
    first = model(BATCH.ids, MASK, prompt_mask=by_mask)
    second = model(BATCH.ids, MASK, prompt_lengths=BATCH.prompt_lengths)
    neither = model(BATCH.ids, MASK)
    assert torch.equal(first, second)
    assert (first - neither).abs().min() > 1e-4


@torch.no_grad()
def test_score_is_the_head_at_the_last_real_token() -> None:
    # Guards: a score read at padding (mean pooling, or the last column).
    model = tiny_reward_model(segment_embeddings=False, dtype=torch.float64)
    scores = score(model, BATCH)
    for row in range(4):
        ids = alone(BATCH, row).ids
        hidden, _ = model.backbone.encode(ids)
        assert_close(scores[row], (hidden[0, -1] * model.head.weight[0]).sum(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("segment_embeddings", [True, False])
@pytest.mark.parametrize("value", [PAD, EOS, 9])
@torch.no_grad()
def test_padding_changes_no_score(segment_embeddings: bool, value: int) -> None:
    # Guards: a length read off the ids, segment embeddings on padding.
    model = tiny_reward_model(segment_embeddings=segment_embeddings, dtype=torch.float64)
    expected = score(model, BATCH)
    assert_close(score(model, with_padding_of(BATCH, value)), expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_batch_size_and_order_change_no_score() -> None:
    # Guards: a statistic over the batch.
    model = tiny_reward_model(dtype=torch.float64)
    expected = score(model, BATCH)
    one_by_one = torch.cat([score(model, alone(BATCH, row)) for row in range(4)])
    assert_close(one_by_one, expected, atol=1e-10, rtol=0)
    order = torch.tensor([3, 1, 0, 2])
    shuffled = score(model, Dialogues(*(x[order] for x in BATCH)))
    assert_close(shuffled, expected[order], atol=1e-10, rtol=0)


@torch.no_grad()
def test_score_from_a_carried_state_is_the_whole_score() -> None:
    # Guards: a prompt state that is computed once and continued wrongly.
    model = tiny_reward_model(segment_embeddings=False, dtype=torch.float64)
    prompt, responses = token_rows(0, [5])[0], token_rows(1, [3, 6, 1])
    expected = score(model, join([prompt] * 3, responses, PAD))
    _, state = model.backbone.encode(torch.tensor([prompt]))
    for row, response in enumerate(responses):
        hidden, _ = model.backbone.encode(torch.tensor([response]), None, state)
        assert_close(model.head(hidden[0, -1])[0], expected[row], atol=1e-10, rtol=0)


@torch.no_grad()
def test_segments_are_never_on_padding() -> None:
    # Guards: an embedding added beyond the last real token.
    model = tiny_reward_model()
    seen = []
    encode: Callable[..., tuple[Tensor, object]] = model.backbone.encode
    model.backbone.encode = lambda *args, **extra: (seen.append(extra), encode(*args, **extra))[1]
    score(model, BATCH)
    segments = seen[0]["extra_embedding_BTC"]
    is_prompt = is_within(BATCH.prompt_lengths, BATCH.ids.shape[1])
    assert not segments[~MASK].any()
    assert (segments[is_prompt] == model.prompt_embedding).all()
    assert (segments[MASK & ~is_prompt] == model.response_embedding).all()


@torch.no_grad()
def test_segments_tell_prompt_from_response() -> None:
    # Guards: segment embeddings that are made and never added.
    model = tiny_reward_model(dtype=torch.float64)
    first = score(model, join([[2, 3, 4]], [[5, 6]], PAD))
    second = score(model, join([[2, 3]], [[4, 5, 6]], PAD))
    assert abs(float(first - second)) > 1e-4


@torch.no_grad()
def test_fresh_segments_are_zero_and_change_nothing() -> None:
    # Guards: a reward model that does not start as the fine-tuned policy's backbone.
    policy = tiny_policy()
    with_segments, without = (
        reward_model_from(policy, segment_embeddings=on, generator=generator_for(0))
        for on in (True, False)
    )
    assert not with_segments.prompt_embedding.any()
    assert not with_segments.response_embedding.any()
    assert torch.equal(score(with_segments, BATCH), score(without, BATCH))


def test_head_is_drawn_with_the_known_deviation() -> None:
    # Guards: torch's default head, which starts with other scores.
    policy = tiny_policy()
    models = [
        reward_model_from(policy, segment_embeddings=False, generator=generator_for(seed))
        for seed in range(200)
    ]
    heads = torch.cat([model.head.weight.detach() for model in models])
    assert heads.shape == (200, 16)
    assert float(heads.std()) == pytest.approx(1 / math.sqrt(17), rel=0.05)
    assert abs(float(heads.mean())) < 4 / math.sqrt(17 * 3200)
    assert all(model.head.bias is None for model in models)


def test_policy_is_copied_not_shared() -> None:
    # Guards: a reward model whose training moves the reference policy.
    policy = tiny_policy()
    before = weights_of(policy)
    model = reward_model_from(policy, segment_embeddings=True, generator=generator_for(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert are_equal(weights_of(policy), before)
    assert isinstance(policy, RWKV)
    assert policy(BATCH.ids)[0].shape[-1] == policy.config.vocab_size


def test_every_parameter_of_the_model_learns() -> None:
    # Guards: a detached backbone, a segment embedding without gradient.
    model: RewardModel = tiny_reward_model()
    score(model, BATCH).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


# Prompts and numbers of responses, all of unlike length; the responses of a prompt need not stand
# together.
PROMPT_ROWS = token_rows(10, [4, 1, 6])
OWNERS = [0, 1, 1, 0, 2, 1, 0, 1, 0, 0, 0]
RESPONSE_ROWS = token_rows(11, [3, 1, 7, 2, 5, 1, 4, 6, 2, 1, 3])


def forked(model: RewardModel) -> Tensor:
    return model.forked_scores(
        pad_right(PROMPT_ROWS, PAD), pad_right(RESPONSE_ROWS, PAD), torch.tensor(OWNERS)
    )


def whole(model: RewardModel) -> Tensor:
    return score(model, join([PROMPT_ROWS[owner] for owner in OWNERS], RESPONSE_ROWS, PAD))


@pytest.mark.parametrize("segment_embeddings", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_forked_scores_are_those_of_separate_passes(
    segment_embeddings: bool, dtype: torch.dtype, tolerance: float
) -> None:
    # Guards: a state of another prompt, of its padding or of a detached prefix; a segment left out
    # of one of the two parts.
    together, apart = (
        tiny_reward_model(segment_embeddings=segment_embeddings, dtype=dtype) for _ in range(2)
    )
    scores, expected = forked(together), whole(apart)
    assert expected.std() > 0.1
    assert_close(scores, expected, atol=tolerance, rtol=tolerance)
    pull = torch.linspace(-1, 1, len(OWNERS), dtype=dtype)
    (scores * pull).sum().backward()
    (expected * pull).sum().backward()
    for ours, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        scale = float(theirs.grad.abs().max())
        assert scale > 0
        assert_close(ours.grad, theirs.grad, atol=tolerance * max(scale, 1.0), rtol=0)


@torch.no_grad()
def test_forked_scores_do_not_depend_on_padding_or_order() -> None:
    # Guards: responses that read the padding of their prompt or their neighbours.
    model = tiny_reward_model(dtype=torch.float64)
    expected = forked(model)
    for value in (EOS, 9):
        padded = model.forked_scores(
            pad_right(PROMPT_ROWS, value), pad_right(RESPONSE_ROWS, value), torch.tensor(OWNERS)
        )
        assert_close(padded, expected, atol=1e-10, rtol=0)
    order = [7, 0, 10, 3]
    some = model.forked_scores(
        pad_right(PROMPT_ROWS[:2], PAD),
        pad_right([RESPONSE_ROWS[i] for i in order], PAD),
        torch.tensor([OWNERS[i] for i in order]),
    )
    assert_close(some, expected[order], atol=1e-10, rtol=0)


@torch.no_grad()
def test_equal_prompts_are_the_same_prompt() -> None:
    # Guards: a state that a response has written to when the next one reads it.
    model = tiny_reward_model(dtype=torch.float64)
    responses = pad_right(RESPONSE_ROWS[:3], PAD)
    shared = model.forked_scores(pad_right(PROMPT_ROWS[:1], PAD), responses, torch.zeros(3).long())
    own = model.forked_scores(pad_right(PROMPT_ROWS[:1] * 3, PAD), responses, torch.arange(3))
    assert_close(shared, own, atol=1e-12, rtol=0)


def test_identical_responses_cost_ln_2_and_leave_every_weight() -> None:
    # Guards: a model that can tell equal texts apart, by their place in the batch or their state.
    model = tiny_reward_model(dtype=torch.float64)
    prompts, response = pad_right(PROMPT_ROWS, PAD), RESPONSE_ROWS[2]
    scores = model.forked_scores(
        prompts, pad_right([response] * 8, PAD), torch.tensor([1, 1, 1, 1, 2, 2, 2, 2])
    )
    pairs = torch.tensor(list(combinations(range(4), 2)) + list(combinations(range(4, 8), 2)))
    weights = torch.full((12,), 1 / 6, dtype=torch.float64)
    loss = ranking_loss(scores, pairs, weights, 2)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-12)
    assert all(float(p.grad.abs().max()) < 1e-14 for p in model.parameters())
