"""Models of transformers as backbones: equal to transformers' own forward pass, and refusals.

What is compared with is always the whole model of transformers on one unpadded sequence.
"""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

transformers = pytest.importorskip("transformers")

from rlhf_core.collate import Padded, pad_right  # noqa: E402
from rlhf_core.generation import generate  # noqa: E402
from rlhf_core.hf import TransformersBackbone  # noqa: E402
from rlhf_core.reward.model import RewardModel, reward_model_from  # noqa: E402
from rlhf_core.seeding import generator_for  # noqa: E402
from tests.unit.rlhf_core import hf_builders as hf  # noqa: E402
from tests.unit.rlhf_core.builders import random, shaken, weights_of  # noqa: E402

PROMPTS = [hf.random_ids(i, length).tolist() for i, length in enumerate((3, 7, 1, 5))]
RESPONSES = [hf.random_ids(i + 9, length).tolist() for i, length in enumerate((4, 1, 6, 2))]
EXACT = {"atol": 1e-12, "rtol": 0.0}


@pytest.fixture(params=hf.FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return hf.tiny_model(request.param)


def backbone_of(model: Any) -> TransformersBackbone:
    """A backbone over a copy: `model` stays what it is compared with."""
    return TransformersBackbone(copy.deepcopy(model))


def own_logits(model: Any, ids: list[int]) -> Tensor:
    """What transformers says of one sequence, (T, V)."""
    logits: Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits


@torch.no_grad()
def test_a_ragged_batch_gives_the_logits_of_each_sequence(model: Any) -> None:
    # Guards: padding that is attended to, positions that count padding.
    ids, lengths = pad_right(PROMPTS, 0)
    logits, state = backbone_of(model)(ids, lengths)
    for row, prompt in enumerate(PROMPTS):
        expected = own_logits(model, prompt)
        assert expected.std() > 0.1
        assert_close(logits[row, : len(prompt)], expected, **EXACT)
    assert state.lengths.tolist() == lengths.tolist()


@torch.no_grad()
def test_a_ragged_batch_continued_gives_the_logits_of_whole_sequences(model: Any) -> None:
    # Guards: columns of padding left in the cache, masks or positions of the wrong part.
    backbone = backbone_of(model)
    _, state = backbone.encode(*pad_right(PROMPTS, 0))
    logits, state = backbone(*pad_right(RESPONSES, 0), state)
    tokens = hf.random_ids(3, len(PROMPTS), 3)
    single = []
    for step in range(3):
        token_logits, state = backbone(tokens[:, step : step + 1], None, state)
        single.append(token_logits)
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        whole = own_logits(model, [*prompt, *response, *tokens[row].tolist()])
        middle = slice(len(prompt), len(prompt) + len(response))
        assert_close(logits[row, : len(response)], whole[middle], **EXACT)
        assert_close(torch.cat(single, dim=1)[row], whole[-3:], **EXACT)


@torch.no_grad()
def test_what_stands_at_padding_is_inert(model: Any) -> None:
    # Guards: a hidden state or cache into which padding leaks.
    backbone = backbone_of(model)
    results = []
    for pad_id in (0, 17):
        _, state = backbone.encode(*pad_right(PROMPTS, pad_id))
        results.append(backbone(*pad_right(RESPONSES, pad_id), state)[0])
    for row, response in enumerate(RESPONSES):
        first, second = (result[row, : len(response)] for result in results)
        assert torch.equal(first, second)


@torch.no_grad()
def test_a_state_is_selected_repeated_and_never_changed(model: Any) -> None:
    # Guards: rows mixed up by a fork, a cache that grows under its owner.
    backbone = backbone_of(model)
    _, state = backbone.encode(*pad_right(PROMPTS, 0))
    token = torch.full((len(PROMPTS), 1), 5)
    before, _ = backbone(token, None, state)
    rows = torch.tensor([2, 0, 0])
    selected, _ = backbone(token[:3], None, state.select(rows))
    assert_close(selected, before[rows], **EXACT)
    repeated, _ = backbone(token.repeat(2, 1), None, state.repeat(2))
    assert_close(repeated, before.repeat_interleave(2, dim=0), **EXACT)
    assert torch.equal(backbone(token, None, state)[0], before)


def test_gradients_of_a_fork_are_those_of_separate_passes(model: Any) -> None:
    # Guards: a cache detached from its graph, a prefix counted once instead of K times.
    scorer = forked_scorer(model)
    owners = torch.tensor([0, 0, 0, 1])
    prompts = PROMPTS[:2]
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    scores = scorer.forked_scores(
        Padded(*pad_right(prompts, 0)), Padded(*pad_right(RESPONSES, 0)), owners
    )
    forked = gradients(scorer, (weights * scores).sum())
    separate = [
        scorer(
            torch.tensor([[*prompts[owner], *response]]),
            prompt_lengths=torch.tensor([len(prompts[owner])]),
        )
        for owner, response in zip(owners.tolist(), RESPONSES, strict=True)
    ]
    assert_close(scores, torch.cat(separate), atol=1e-12, rtol=0)
    expected = gradients(scorer, (weights * torch.cat(separate)).sum())
    assert forked.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.abs().max() > 1e-6, name
        assert_close(forked[name], gradient, atol=1e-10 * float(gradient.abs().max()), rtol=0)


def forked_scorer(model: Any) -> RewardModel:
    policy = backbone_of(model)
    head = generator_for(0, "head")
    scorer = reward_model_from(policy, segment_embeddings=True, generator=head).double()
    assert scorer.prompt_embedding is not None
    assert scorer.response_embedding is not None
    for seed, embedding in enumerate((scorer.prompt_embedding, scorer.response_embedding)):
        embedding.data.copy_(random(seed, policy.dim))
    return scorer


def gradients(model: torch.nn.Module, loss: Tensor) -> dict[str, Tensor]:
    # Some models keep parameters that no hidden state depends on.
    named = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: it for name, it in zip(named, found, strict=True) if it is not None}


def test_gradients_are_those_of_transformers(model: Any) -> None:
    # Guards: a tied embedding that learns from one of its two uses only.
    backbone, ids = backbone_of(model), hf.random_ids(0, 2, 6)
    logits, _ = backbone(ids)
    logits.square().sum().backward()
    model(input_ids=ids, use_cache=False).logits.square().sum().backward()
    ours = backbone.body.get_input_embeddings().weight.grad
    assert_close(ours, model.get_input_embeddings().weight.grad, atol=1e-9, rtol=1e-9)
    assert sum(p.grad is not None for p in backbone.parameters()) == len(list(model.parameters()))


@torch.no_grad()
def test_the_extra_embedding_is_added_to_the_tokens(model: Any) -> None:
    # Guards: segments that are lost, or added behind the first layer.
    backbone, ids, extra = backbone_of(model), hf.random_ids(0, 2, 6), random(0, 2, 6, 32)
    hidden, _ = backbone.encode(ids, extra_embedding_BTC=extra)
    embeddings = model.get_input_embeddings()(ids) + extra
    expected = model(inputs_embeds=embeddings, use_cache=False).logits
    assert_close(backbone.head(hidden), expected, **EXACT)


@torch.no_grad()
def test_a_trunk_has_no_head_and_a_life_of_its_own(model: Any) -> None:
    # Guards: a tied embedding lost with the head, a reward model that trains the policy.
    backbone = backbone_of(model)
    ids = hf.random_ids(0, 2, 6)
    before, _ = backbone.encode(ids)
    trunk = backbone.trunk()
    assert torch.equal(trunk.encode(ids)[0], before)
    assert not [name for name in trunk.state_dict() if name.startswith("head")]
    shaken(trunk, 1)
    assert not torch.equal(trunk.encode(ids)[0], before)
    assert torch.equal(backbone.encode(ids)[0], before)


@torch.no_grad()
def test_a_copy_of_a_tied_model_is_tied_to_itself() -> None:
    # Guards: a copied head that reads the embedding of the original.
    backbone = backbone_of(hf.tiny_model("gpt2"))
    assert not [name for name in backbone.state_dict() if name.startswith("head")]
    twin = copy.deepcopy(backbone)
    twin.body.get_input_embeddings().weight.zero_()
    hidden = random(0, 3, backbone.dim)
    assert twin.head(hidden).abs().max() == 0
    assert backbone.head(hidden).abs().max() > 0


@torch.no_grad()
def test_dropout_is_off_in_training_too() -> None:
    # Guards: ratios of PPO that are not 1 at the first update.
    model = hf.gpt2(attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.5)
    backbone, ids = TransformersBackbone(model), hf.random_ids(0, 2, 6)
    expected, _ = backbone.eval()(ids)
    scorer = RewardModel(backbone.trunk(), segment_embeddings=False).train()
    assert scorer.training
    assert torch.equal(backbone.train()(ids)[0], expected)
    assert torch.equal(scorer(ids), scorer.eval()(ids))
    model.train()
    assert not torch.equal(model(input_ids=ids).logits, expected)


def test_sampling_near_temperature_zero_is_greedy_search_of_transformers(model: Any) -> None:
    # Guards: a decode step that reads another token or position than the whole sequence has.
    found = generate(
        backbone_of(model),
        PROMPTS,
        responses_per_prompt=2,
        max_tokens=8,
        temperature=1e-6,
        pad_id=39,
        eos_id=38,
        generator=generator_for(0, "greedy"),
    )
    for prompt, responses in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([prompt])
        expected = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=8,
            eos_token_id=38,
            pad_token_id=39,
            suppress_tokens=[39],
        )[0, len(prompt) :].tolist()
        assert [response.ids for response in responses] == [expected, expected]


def test_a_sequence_beyond_the_models_positions_is_refused() -> None:
    # Guards: an index error deep in an embedding, or positions that nobody trained.
    backbone = backbone_of(hf.tiny_model("gpt2"))
    with pytest.raises(ValueError, match="65 tokens is longer than the 64 positions"):
        backbone.encode(hf.random_ids(0, 1, 65))
    _, state = backbone.encode(*pad_right([[1] * 60, [1]], 0))
    # Row 0 is padded beyond position 64, but no real token is there.
    responses = Padded(*pad_right([[2] * 4, [2] * 30], 0))
    logits, _ = backbone(*responses, state)
    assert torch.isfinite(logits[0, :4]).all()
    with pytest.raises(ValueError, match="66 tokens"):
        backbone.encode(*pad_right([[2] * 6, [2] * 30], 0), state)


def refused(model: Any) -> str:
    with pytest.raises(ValueError, match="cannot be trained here") as error:
        TransformersBackbone(model)
    return str(error.value)


def test_models_that_we_would_get_wrong_are_refused_by_name() -> None:
    # Guards: a policy whose logits are not those of its model, in silence.
    gemma = transformers.Gemma2Config(**hf.GROUPED, head_dim=8)
    assert "final_logit_softcapping" in refused(transformers.Gemma2ForCausalLM(gemma))
    granite = transformers.GraniteConfig(**hf.GROUPED, logits_scaling=8.0)
    assert "logits_scaling" in refused(transformers.GraniteForCausalLM(granite))
    assert "DynamicSlidingWindowLayer" in refused(hf.mistral(4))
    mamba = transformers.MambaConfig(vocab_size=40, hidden_size=32, num_hidden_layers=1)
    assert "past_key_values" in refused(transformers.MambaForCausalLM(mamba))
    t5 = transformers.T5Config(
        vocab_size=40, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4
    )
    assert "encoder-decoder" in refused(transformers.T5ForConditionalGeneration(t5))


def test_logits_changed_behind_the_head_are_seen_without_a_name() -> None:
    # Guards: a softcap of a family that nobody listed, on logits so small that it hardly shows.
    model = hf.llama()
    plain = model.forward

    def softcapped(*args: Any, **kwargs: Any) -> Any:
        output = plain(*args, **kwargs)
        output.logits = 30 * torch.tanh(output.logits / 30)
        return output

    model.forward = softcapped
    assert "its head applied" in refused(model)


@torch.no_grad()
def test_positions_that_are_ignored_are_seen() -> None:
    # Guards: a family whose body takes position_ids and counts columns instead.
    model = hf.tiny_model("llama")
    plain = model.model.forward

    def counting(*args: Any, position_ids: Any = None, **kwargs: Any) -> Any:
        return plain(*args, **kwargs)

    counting.__wrapped__ = plain  # type: ignore[attr-defined]  # keeps the signature
    model.model.forward = counting
    assert "continued from its cache" in refused(model)


def test_weights_are_not_changed_by_the_construction() -> None:
    # Guards: a probe that leaves traces.
    model = hf.tiny_model("llama tied")
    before = weights_of(model)
    TransformersBackbone(model)
    assert all(torch.equal(before[name], value) for name, value in weights_of(model).items())
