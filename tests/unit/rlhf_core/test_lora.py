"""LoRA: nothing changes at the start, B A x by hand afterwards, and plain weights at the end."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import linear
from torch.testing import assert_close

from rlhf_core.backbones import Backbone
from rlhf_core.lora import LowRank, add_lora, lora_parameters, merge_lora
from rlhf_core.reward.model import reward_model_from, score
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import (
    are_equal,
    ragged_dialogues,
    random,
    shaken,
    tiny_policy,
    token_rows,
    weights_of,
)

RANK, ALPHA = 3, 6.0
IDS = torch.tensor(token_rows(0, [7, 7]))


def gpt2() -> Backbone:
    pytest.importorskip("transformers")
    from rlhf_core.hf import TransformersBackbone
    from tests.unit.rlhf_core.hf_builders import tiny_model

    return TransformersBackbone(tiny_model("gpt2")).float()


def llama() -> Backbone:
    pytest.importorskip("transformers")
    from rlhf_core.hf import TransformersBackbone
    from tests.unit.rlhf_core.hf_builders import tiny_model

    return TransformersBackbone(tiny_model("llama")).float()


MODELS = {"rwkv7": tiny_policy, "gpt2": gpt2, "llama": llama}
# Matrices of one layer's blocks, of which each model has two.
MATRICES = {"rwkv7": 6, "gpt2": 4, "llama": 7}


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def adapted(model: Backbone, seed: int | None = 1) -> Backbone:
    """An adapted copy; with a seed its B matrices are random too, as after some steps."""
    model = copy.deepcopy(model)
    add_lora(model, rank=RANK, alpha=ALPHA, generator=generator_for(0, "lora"))
    if seed is not None:
        for part in (it for it in model.modules() if isinstance(it, LowRank)):
            shaken(part, seed)
    return model


@torch.no_grad()
def test_nothing_changes_at_the_start_to_the_bit(name: str) -> None:
    # Guards: a policy that is not its reference before the first update.
    model = MODELS[name]()
    assert torch.equal(adapted(model, seed=None)(IDS)[0], model(IDS)[0])
    assert not torch.equal(adapted(model)(IDS)[0], model(IDS)[0])


def test_every_matrix_of_the_blocks_is_adapted_and_nothing_else_trains(name: str) -> None:
    # Guards: a forgotten projection, an embedding or head that still trains.
    model = adapted(MODELS[name]())
    parts = [it for it in model.modules() if isinstance(it, LowRank)]
    assert len(parts) == 2 * MATRICES[name]
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in lora_parameters(model)}
    assert len(lora_parameters(model)) == 2 * len(parts)
    names = {n for n, _ in model.named_parameters() if ".parametrizations." in n}
    assert not [n for n in names if "emb" in n or "wte" in n or n.startswith("head")]


def test_the_first_matrix_is_drawn_as_in_the_paper_and_the_second_is_zero() -> None:
    # Guards: an initialisation over the wrong side, on which a Conv1D and a Linear differ.
    generator = generator_for(0, "a")
    for weight, is_transposed in ((torch.zeros(5, 400), False), (torch.zeros(400, 5), True)):
        part = LowRank(weight, 64, 1.0, generator, is_transposed=is_transposed)
        assert part.a.shape == (64, 400)
        bound = 400**-0.5
        assert 0.99 * bound < part.a.abs().max() <= bound
        assert float(part.a.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.02)
        assert part.b.shape == (5, 64)
        assert not part.b.any()


@pytest.mark.parametrize("is_transposed", [False, True])
def test_output_and_gradients_are_those_of_the_equation(is_transposed: bool) -> None:
    # Guards: scale, transposition, an adapter that learns from the wrong gradient.
    layer = nn.Linear(6, 5).double()
    if is_transposed:
        layer = conv1d(layer)
    weight, bias = (p.detach().clone() for p in (layer.weight, layer.bias))
    weight = weight.T if is_transposed else weight
    model = Wrapped(layer)
    add_lora(model, rank=RANK, alpha=ALPHA, generator=generator_for(0, "lora"))
    a, b = lora_parameters(model)
    b.data.copy_(random(1, *b.shape))
    x, target = random(2, 4, 6), random(3, 4, 5)
    a_twin, b_twin = (p.detach().clone().requires_grad_() for p in (a, b))
    expected = linear(x, weight, bias) + (ALPHA / RANK) * (x @ a_twin.T) @ b_twin.T
    found = layer(x)
    assert_close(found, expected, atol=1e-12, rtol=0)
    (found * target).sum().backward()
    (expected * target).sum().backward()
    assert_close(a.grad, a_twin.grad, atol=1e-12, rtol=0)
    assert_close(b.grad, b_twin.grad, atol=1e-12, rtol=0)
    assert layer.bias.grad is None


class Wrapped(Backbone):
    """A backbone of one layer, to have it adapted alone."""

    head = nn.Identity()

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer


def conv1d(layer: nn.Linear) -> Any:
    """GPT-2's layer with the same weights."""
    pytest.importorskip("transformers")
    from transformers.pytorch_utils import Conv1D

    twin = Conv1D(layer.out_features, layer.in_features).double()
    twin.weight.data.copy_(layer.weight.T)
    twin.bias.data.copy_(layer.bias)
    return twin


@torch.no_grad()
def test_a_merged_model_is_a_plain_one(name: str) -> None:
    # Guards: names that the class does not know, weights that lose the adapter.
    model = MODELS[name]()
    plain = weights_of(model)
    changed = adapted(model)
    expected = changed(IDS)[0]
    merge_lora(changed)
    assert torch.equal(changed(IDS)[0], expected)
    assert changed.state_dict().keys() == plain.keys()
    assert all(p.requires_grad for p in changed.parameters())
    assert all(type(p) is nn.Parameter for p in changed.parameters())
    loaded = MODELS[name]()
    loaded.load_state_dict(changed.state_dict())
    assert torch.equal(loaded(IDS)[0], expected)
    assert not are_equal(weights_of(loaded), plain)


def test_training_moves_the_adapters_alone(name: str) -> None:
    # Guards: weight decay or a step on frozen weights.
    model = adapted(MODELS[name](), seed=None)
    before = weights_of(model)
    optimizer = torch.optim.AdamW(lora_parameters(model), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        model(IDS)[0].logsumexp(-1).mean().backward()
        optimizer.step()
    moved = {n for n, value in weights_of(model).items() if not torch.equal(value, before[n])}
    assert moved == {n for n in before if n.endswith((".0.a", ".0.b"))}


@torch.no_grad()
def test_a_reward_model_keeps_its_own_parts_in_training(name: str) -> None:
    # Guards: a scalar head frozen at its random start; a copy that shares its adapters.
    head = generator_for(0, "head")
    model = reward_model_from(MODELS[name](), segment_embeddings=True, generator=head)
    batch = ragged_dialogues()
    before = score(model, batch)
    add_lora(model.backbone, rank=RANK, alpha=ALPHA, generator=generator_for(0, "lora"))
    assert torch.equal(score(model, batch), before)
    assert model.head.weight.requires_grad
    assert model.prompt_embedding is not None
    assert model.prompt_embedding.requires_grad
    critic = copy.deepcopy(model)
    shaken(nn.ParameterList(lora_parameters(critic)), 1)
    assert torch.equal(score(model, batch), before)
    assert not torch.equal(score(critic, batch), before)


def test_equal_seeds_give_equal_adapters() -> None:
    # Guards: a run that cannot be repeated.
    first, second = (lora_parameters(adapted(tiny_policy(), seed=None)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("rank", "alpha"), [(0, 1.0), (-1, 1.0), (2, 0.0)])
def test_sizes_that_adapt_nothing_are_refused(rank: int, alpha: float) -> None:
    # Guards: a division by zero, or a training that moves nothing.
    with pytest.raises(ValueError, match="above 0"):
        add_lora(tiny_policy(), rank=rank, alpha=alpha, generator=generator_for(0, "lora"))


def test_a_model_is_adapted_once() -> None:
    # Guards: adapters of adapters, which a merge would half undo.
    model = adapted(tiny_policy())
    with pytest.raises(ValueError, match="adapters already"):
        add_lora(model, rank=RANK, alpha=ALPHA, generator=generator_for(0, "lora"))
    bare = Wrapped(nn.Identity())
    with pytest.raises(ValueError, match="no matrix"):
        add_lora(bare, rank=RANK, alpha=ALPHA, generator=generator_for(0, "lora"))
