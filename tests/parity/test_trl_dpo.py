"""Loss and gradient of a DPO step are those of TRL 1.12's DPOTrainer, in fp64."""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.dpo.config import DPOConfig
from rlhf_core.dpo.training import DPOTraining
from rlhf_core.hf import TransformersBackbone
from rlhf_core.reward.training import RankedPrompt
from tests.parity.gpt2 import (
    EOS,
    PAD,
    flat,
    language_model,
    perturbed,
    shared_names,
    tokenizer,
)
from tests.unit.rlhf_core.builders import token_rows

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        importlib.util.find_spec("trl") is None, reason="the package trl is not installed"
    ),
]

BETA = 0.3
# Weight 1/4 for each of 8 pairs of 2 prompts: our mean over prompts is TRL's mean over pairs.
TIERS = [[2, 1, 4, 3], [1, 2, 2]]


class Result(NamedTuple):
    """What a side computed: the loss and its gradient as one vector."""

    loss: float
    gradient: Tensor


def ranked(place: int) -> RankedPrompt:
    tiers = TIERS[place]
    count = range(len(tiers))
    pairs = [(i, j) for i in count for j in count if tiers[i] < tiers[j]]
    bodies = token_rows(place, [1 + 2 * i for i in count], vocab_size=PAD)
    prompt = token_rows(place + 10, [5 - 2 * place], vocab_size=PAD)[0]
    return RankedPrompt(prompt, [[*body, EOS] for body in bodies], pairs, [0.25] * len(pairs))


def reference() -> Any:
    return perturbed(language_model(0), 1, 0.05)


def gradient_of(model: torch.nn.Module) -> Tensor:
    grads = {n: p.grad for n, p in shared_names(model.named_parameters()).items()}
    return flat({name: grad for name, grad in grads.items() if grad is not None}).clone()


def ours(**fields: Any) -> Result:
    """The first step of a training whose policy has left its reference."""
    policy = TransformersBackbone(reference())
    config = DPOConfig(**{"num_epochs": 1, "beta": BETA, "max_grad_norm": 1e9, **fields})
    training = DPOTraining(policy, [ranked(0), ranked(1)], config, pad_id=PAD, seed=0)
    policy.load_state_dict(TransformersBackbone(language_model(0)).state_dict())
    return Result(training.advance()["dpo/loss"], gradient_of(policy))


def trl(folder: Path, *, batch_size: int, is_pad_possible: bool = False, **fields: Any) -> Result:
    """TRL's own loss on the same pairs as text, mean over batches."""
    from datasets import Dataset
    from trl import DPOConfig as TRLConfig
    from trl import DPOTrainer

    policy, frozen, names = language_model(0), reference(), tokenizer()
    names.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    if not is_pad_possible:
        for model in (policy, frozen):
            model.lm_head.register_forward_hook(without_pad)
    trainer = DPOTrainer(
        model=policy,
        ref_model=frozen,
        args=TRLConfig(
            output_dir=str(folder),
            per_device_train_batch_size=batch_size,
            beta=BETA,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            **fields,
        ),
        processing_class=names,
        train_dataset=Dataset.from_list(as_text([ranked(0), ranked(1)])),
    )
    batches = list(trainer.get_train_dataloader())
    loss = sum(trainer.compute_loss(policy, batch) for batch in batches) / len(batches)
    loss.backward()
    return Result(loss.item(), gradient_of(policy))


def without_pad(_module: object, _inputs: object, logits: Tensor) -> Tensor:
    return logits.index_fill(-1, torch.tensor([PAD]), -torch.inf)


def as_text(prompts: list[RankedPrompt]) -> list[dict[str, str]]:
    def text(ids: list[int]) -> str:
        return "".join(f" t{i}" for i in ids)

    return [
        {"prompt": text(p.prompt), "chosen": text(p.responses[w]), "rejected": text(p.responses[r])}
        for p in prompts
        for w, r in p.pairs
    ]


def assert_equal(first: Result, second: Result) -> None:
    assert first.loss == pytest.approx(second.loss, rel=1e-8)
    assert_close(first.gradient, second.gradient, rtol=0, atol=1e-8 * float(first.gradient.norm()))


def test_loss_and_gradient_are_those_of_trl(tmp_path: Path) -> None:
    # Guards: a reading of the equation that we and our own tests share.
    theirs = trl(tmp_path, batch_size=8)
    assert theirs.loss != pytest.approx(0.693, abs=0.01)
    assert_equal(ours(), theirs)


def test_smoothed_labels_are_those_of_trl(tmp_path: Path) -> None:
    # Guards: smoothing on the wrong side. TRL's "aot" is cDPO where a batch is one pair.
    theirs = trl(tmp_path, batch_size=1, loss_type=["aot"], label_smoothing=0.2)
    assert_equal(ours(label_smoothing=0.2), theirs)


@pytest.mark.parametrize(
    ("our_fields", "their_fields"),
    [
        ({"beta": BETA * 1.001}, {}),
        ({"label_smoothing": 1e-4}, {}),
        ({}, {"is_pad_possible": True}),
        ({}, {"loss_type": ["sigmoid_norm"]}),
    ],
)
def test_another_mode_is_seen(
    tmp_path: Path, our_fields: dict[str, Any], their_fields: dict[str, Any]
) -> None:
    # Guards: a comparison that would let every mistake pass.
    with pytest.raises(AssertionError):
        assert_equal(ours(**our_fields), trl(tmp_path, batch_size=8, **their_fields))
