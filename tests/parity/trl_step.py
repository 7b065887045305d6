"""One rollout and its updates, by TRL's PPOTrainer.train and by PPOTraining.advance.

Neither side's arithmetic is written again here: both loops run as they are, only what they sample
is given to both. TRL's tensors are read off the frame of its train method when it calls backward.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rlhf_core.collate import join
from rlhf_core.hf import TransformersBackbone
from rlhf_core.ppo import rollout, training
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rollout import Actors, Episodes, Reference
from rlhf_core.ppo.training import PPOTraining
from rlhf_core.reward.normalisation import Normalisation
from tests.parity.gpt2 import (
    EOS,
    PAD,
    VOCAB,
    flat,
    language_model,
    perturbed,
    reward_model_of,
    score_model,
    shared_names,
    tokenizer,
)
from tests.unit.rlhf_core.builders import token_rows

ADAM_BETA2, ADAM_EPS = 0.999, 1e-3
ROLLOUT = ("logprobs", "ref_logprobs", "values", "rewards", "advantages", "returns")
# Of responses with EOS and of those without: TRL scores the longest, of either kind, at their last
# token and the others one later.
ENDED, CUT = (1, 6, 2, 5, 4), (6, 3, 6)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What both sides are given, in the words of TRL's config.

    Attributes:
        optimizer: "sgd" or "adamw".
        learning_rate: Of policy and critic.
        prompt_lengths: Tokens of the prompts, again and again.
        copies: Times that the eight kinds of responses occur.
        trl: Fields of TRL's PPOConfig.
    """

    optimizer: str = "sgd"
    learning_rate: float = 1e-2
    prompt_lengths: tuple[int, ...] = (4,)
    copies: int = 1
    trl: dict[str, Any] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """TRL's fields, none of them at a value that leaves a term out."""
        return {
            "temperature": 0.7,
            "kl_coef": 0.3,
            "kl_estimator": "k1",
            "gamma": 0.97,
            "lam": 0.9,
            "cliprange": 0.2,
            "cliprange_value": 0.2,
            "vf_coef": 0.1,
            "missing_eos_penalty": 0.8,
            "whiten_rewards": False,
            "num_ppo_epochs": 1,
            "num_mini_batches": 1,
        } | self.trl

    def episodes(self) -> list[tuple[list[int], list[int]]]:
        """Prompts, no two alike, and their responses."""
        kinds = [*((n, True) for n in ENDED), *((n, False) for n in CUT)] * self.copies
        sizes = itertools.islice(itertools.cycle(self.prompt_lengths), len(kinds))
        prompts = [[4 + i, *rest] for i, rest in enumerate(rows(1, [n - 1 for n in sizes]))]
        bodies = rows(2, [length - ended for length, ended in kinds])
        ends = [[EOS] * ended for _, ended in kinds]
        return [(p, b + e) for p, b, e in zip(prompts, bodies, ends, strict=True)]


@dataclass(kw_only=True)
class Step:
    """What a side computed.

    Attributes:
        tensors: Those of `ROLLOUT`, (B, R).
        is_response: True at response tokens, bool (B, R).
        losses: (policy, value) of each update, without the value coefficient.
        gradients: Of "policy" and "critic", one vector an update.
        changes: Of their weights over all updates.
        batches: Rows of each minibatch.
        order: Which episode stands in which row.
        clipped: Share of tokens, or of values, where the clip decided, of each update.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    is_response: Tensor = field(default_factory=lambda: torch.empty(0))
    losses: list[tuple[float, float]] = field(default_factory=list)
    gradients: dict[str, list[Tensor]] = field(default_factory=lambda: {"policy": [], "critic": []})
    changes: dict[str, Tensor] = field(default_factory=dict)
    batches: list[list[int]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    clipped: list[tuple[float, float]] = field(default_factory=list)

    @contextmanager
    def changing(self, learners: dict[str, nn.Module]) -> Iterator[None]:
        """Record how much the weights change within."""
        before = {name: weights(model) for name, model in learners.items()}
        yield
        self.changes = {name: weights(model) - before[name] for name, model in learners.items()}

    def watch(self, optimizer: Optimizer, learners: dict[str, nn.Module]) -> None:
        """Record the learners' gradients whenever `optimizer` steps."""

        def record(*_: object) -> None:
            for name, model in learners.items():
                self.gradients[name].append(gradient(model))

        optimizer.register_step_pre_hook(record)


def trl_step(case: Case, folder: Path) -> Step:
    """TRL's own step."""
    from trl.experimental.ppo import ppo_trainer

    policy, value_model = language_model(0), score_model(2, bias=True)
    learners = {"policy": policy, "critic": value_model}
    optimizer = build_optimizer(case, [p for m in learners.values() for p in m.parameters()])
    step = Step()
    step.watch(optimizer, learners)
    trainer = ppo_trainer.PPOTrainer(
        args=trl_config(case, folder),
        processing_class=tokenizer(),
        model=policy,
        ref_model=perturbed(language_model(0), 1, 0.05),
        reward_model=score_model(3, bias=False),
        value_model=value_model,
        train_dataset=dataset(case),
        optimizers=(optimizer, LambdaLR(optimizer, lambda _: 1.0)),
    )
    trainer.accelerator.backward = reading(step, trainer.accelerator.backward)
    permutation = np.random.default_rng(0).permutation
    with (
        step.changing(learners),
        patch.object(ppo_trainer, "batch_generation", given_responses(case, step)),
        patch.object(np.random, "permutation", permutation),
        in_float64(),
    ):
        trainer.train()
    return step


def our_step(case: Case, theirs: Step, *, pad_id: int = VOCAB, **flipped: Any) -> Step:
    """Our step on TRL's episodes, in TRL's order and minibatches.

    Args:
        case: What TRL was given.
        theirs: What it did with it.
        pad_id: Token that cannot be produced; TRL masks none, and no token has the default.
        flipped: Fields of our config that are not TRL's.
    """
    value_model = score_model(2, bias=True)
    critic = Critic(reward_model_of(value_model), Normalisation(1.0, value_model.score.bias.item()))
    reference = Reference(
        TransformersBackbone(perturbed(language_model(0), 1, 0.05)),
        reward_model_of(score_model(3, bias=False)),
        Normalisation(1.0, 0.0),
    )
    actors = Actors(TransformersBackbone(language_model(0)), critic, reference)
    learners: dict[str, nn.Module] = {"policy": actors.policy, "critic": critic}
    config = PPOConfig(**(our_fields(case) | flipped))
    prompts = [prompt for prompt, _ in case.episodes()]
    loop = PPOTraining(actors, prompts, config, pad_id=pad_id, eos_id=EOS, seed=0)
    if case.optimizer == "sgd":
        loop.optimizers = {n: build_optimizer(case, m.parameters()) for n, m in learners.items()}
    step = Step(batches=theirs.batches, order=theirs.order)
    for name, model in learners.items():
        step.watch(loop.optimizers[name], {name: model})
    with step.changing(learners), given_episodes(case, theirs), recorded(step):
        loop.advance()
    return step


def our_fields(case: Case) -> dict[str, Any]:
    """The mode that is TRL's."""
    trl = case.fields
    return {
        "num_iterations": 1,
        "batch_size": len(case.episodes()),
        "num_epochs": trl["num_ppo_epochs"],
        "num_minibatches": trl["num_mini_batches"],
        "learning_rate": case.learning_rate,
        "value_learning_rate": case.learning_rate,
        "adam_beta2": ADAM_BETA2,
        "adam_eps": ADAM_EPS,
        "max_grad_norm": 1e9,  # TRL's loop does not clip
        "temperature": trl["temperature"] + 1e-7,  # TRL adds it wherever it divides
        "discount": trl["gamma"],
        "gae_lambda": trl["lam"],
        "clip_ratio": trl["cliprange"],
        "value_clip": trl["cliprange_value"],
        "value_coef": trl["vf_coef"],
        "score_position": "after_eos",
        "missing_eos": "add",
        "missing_eos_score": -trl["missing_eos_penalty"],
        "whiten_rewards": trl["whiten_rewards"],
        "variance": "unbiased",
        "kl_estimator": trl["kl_estimator"],
        "kl_coef": trl["kl_coef"],
    }


def trl_config(case: Case, folder: Path) -> Any:
    """TRL's config; a batch is one rollout, and nothing is written or sampled besides."""
    from trl.experimental.ppo import PPOConfig as TRLConfig

    size = len(case.episodes())
    return TRLConfig(
        output_dir=str(folder),
        per_device_train_batch_size=size,
        total_episodes=size,
        response_length=max(ENDED + CUT),
        stop_token="eos",  # noqa: S106 - a token of text
        num_sample_generations=0,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **case.fields,
    )


def given_responses(case: Case, step: Step) -> Callable[..., tuple[Tensor, Tensor]]:
    """TRL's `batch_generation`, answering with the case's responses and their own logits."""
    from trl.experimental.ppo.ppo_trainer import forward

    known = [prompt for prompt, _ in case.episodes()]
    responses = [response for _, response in case.episodes()]
    width = max(map(len, responses))

    def batch_generation(policy: Any, queries: Tensor, *_: object) -> tuple[Tensor, Tensor]:
        step.order = [known.index(row[row != PAD].tolist()) for row in queries]
        rows = [responses[i] + [PAD] * (width - len(responses[i])) for i in step.order]
        sequences = torch.cat([queries, torch.tensor(rows)], dim=1)
        logits = forward(policy, sequences, PAD).logits[:, queries.shape[1] - 1 : -1]
        return sequences, logits / (case.fields["temperature"] + 1e-7)

    return batch_generation


def reading(step: Step, backward: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    """`backward`, writing down what TRL's train method holds when it calls it."""

    def read(loss: Tensor) -> None:
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        held = frame.f_back.f_locals
        step.tensors = {name: held[name].clone() for name in ROLLOUT}
        step.is_response = ~held["padding_mask"]
        step.batches.append(held["micro_batch_inds"].tolist())
        step.losses.append((held["pg_loss"].item(), held["vf_loss"].item()))
        is_clipped = (held["pg_losses2"] > held["pg_losses"])[step.is_response[step.batches[-1]]]
        step.clipped.append((float(is_clipped.double().mean()), float(held["vf_clipfrac"])))
        backward(loss)

    return read


@contextmanager
def in_float64() -> Iterator[None]:
    """Ratios of counts in float64: TRL's Bessel correction is an int64 over an int64."""
    before, state = torch.get_default_dtype(), torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
    torch.set_rng_state(state)


@contextmanager
def given_episodes(case: Case, theirs: Step) -> Iterator[None]:
    """Our sampling and minibatches replaced by what TRL had."""
    pairs = [case.episodes()[i] for i in theirs.order]
    responses = [response for _, response in pairs]
    episodes = Episodes(
        join([prompt for prompt, _ in pairs], responses, PAD),
        torch.tensor([response[-1] == EOS for response in responses]),
    )
    batches, count = iter(theirs.batches), case.fields["num_mini_batches"]
    with (
        patch.object(training, "sample_episodes", lambda *_, **__: episodes),
        patch.object(training, "epoch_batches", lambda *_: list(itertools.islice(batches, count))),
    ):
        yield


@contextmanager
def recorded(step: Step) -> Iterator[None]:
    """Our functions as they are, their results written down."""
    assess, ppo_losses, gae = training.assess, training.ppo_losses, rollout.gae

    def recording_assess(*args: Any, **named: Any) -> Any:
        result, metrics = assess(*args, **named)
        held = {name: getattr(result, name) for name in ROLLOUT if name != "rewards"}
        step.tensors |= held
        step.is_response = result.is_response
        return result, metrics

    def recording_gae(rewards: Tensor, *args: Any, **named: Any) -> Any:
        step.tensors["rewards"] = rewards
        return gae(rewards, *args, **named)

    def recording_losses(*args: Any, **named: Any) -> Any:
        losses, metrics = ppo_losses(*args, **named)
        step.losses.append((metrics["ppo/loss/policy"], metrics["ppo/loss/value"]))
        names = ("ppo/policy/clip_fraction", "ppo/value/clip_fraction")
        step.clipped.append((metrics[names[0]], metrics[names[1]]))
        return losses, metrics

    with (
        patch.object(training, "assess", recording_assess),
        patch.object(rollout, "gae", recording_gae),
        patch.object(training, "ppo_losses", recording_losses),
    ):
        yield


def build_optimizer(case: Case, parameters: Any) -> Optimizer:
    """The case's optimiser in PyTorch's own form; "base" is for our schedule."""
    groups = [{"params": list(parameters), "base": case.learning_rate}]
    if case.optimizer == "sgd":
        return SGD(groups, lr=case.learning_rate)
    betas = (0.9, ADAM_BETA2)
    return AdamW(groups, lr=case.learning_rate, betas=betas, eps=ADAM_EPS, weight_decay=0.0)


def dataset(case: Case) -> Any:
    """The prompts as TRL takes them."""
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [prompt for prompt, _ in case.episodes()]})


def rows(seed: int, lengths: Sequence[int]) -> list[list[int]]:
    """Random tokens that are neither EOS nor PAD."""
    return token_rows(seed, lengths, vocab_size=PAD)


def weights(model: nn.Module) -> Tensor:
    """All weights as one vector, in an order that both sides share."""
    return flat(shared_names(model.named_parameters())).clone()


def gradient(model: nn.Module) -> Tensor:
    """All gradients, likewise."""
    grads = {n: p.grad for n, p in shared_names(model.named_parameters()).items()}
    return flat({name: grad for name, grad in grads.items() if grad is not None}).clone()
