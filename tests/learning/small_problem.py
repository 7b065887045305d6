"""A problem so small that every response is listed: known scores, and with them the best policy.

With the KL in the reward and discount 1 a policy is worth

    J(pi) = E[score] - kl_coef * KL(pi || reference),

and the best one is reference(y) exp(score(y) / kl_coef) / Z, worth kl_coef * ln Z.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rlhf_core.backbones import Backbone
from rlhf_core.collate import last_real
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rollout import Actors, Reference
from rlhf_core.ppo.training import PPOTraining
from rlhf_core.resume import run
from rlhf_core.reward.model import reward_model_from
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from tests.oracles.responses_enumerated import response_probabilities
from tests.unit.rlhf_core.builders import EOS, PAD, shaken, tiny_config

PROMPT, VOCAB, MAX_TOKENS = [2], 6, 2
AS_IT_IS = Normalisation(1.0, 0.0)
Responses = dict[tuple[int, ...], float]


class LastToken(NamedTuple):
    """The state of `Lookup`: the last token of each row, (B, 1, 1)."""

    tokens: Tensor

    def select(self, rows: Tensor) -> "LastToken":
        return LastToken(self.tokens[rows])

    def repeat(self, num_copies: int) -> "LastToken":
        return LastToken(self.tokens.repeat_interleave(num_copies, dim=0))


class Lookup(Backbone):
    """Logits looked up by the last two tokens: every policy over two tokens can be had exactly."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.head = nn.Identity()
        self.table = nn.Embedding.from_pretrained(torch.zeros(VOCAB * VOCAB, VOCAB), freeze=False)
        shaken(self, seed, 0.5)

    @property
    def dim(self) -> int:
        return VOCAB

    def encode(
        self,
        ids_BT: Tensor,  # noqa: N803 - as Backbone
        lengths_B: Tensor | None = None,  # noqa: N803
        state: LastToken | None = None,
        extra_embedding_BTC: Tensor | None = None,  # noqa: N803
    ) -> tuple[Tensor, LastToken]:
        ids = ids_BT.unsqueeze(-1)
        before = torch.zeros_like(ids[:, :1]) if state is None else state.tokens
        previous = torch.cat([before, ids], dim=1)[:, :-1]
        lengths = ids.new_full((len(ids),), ids.shape[1]) if lengths_B is None else lengths_B
        hidden = self.table((previous * VOCAB + ids).squeeze(-1))
        return hidden, LastToken(last_real(ids, lengths).unsqueeze(1))


def small_rwkv(seed: int) -> RWKV:
    """No response is as likely as another."""
    policy = initialise(RWKV(tiny_config(vocab_size=VOCAB)), generator_for(seed, "policy"))
    return shaken(policy, seed, 0.1)


class KnownScores(nn.Module):
    """Stands where a reward model would: the score of each response is looked up."""

    def __init__(self, scores: Responses) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, ids: Tensor, mask: Tensor, *, prompt_lengths: Tensor) -> Tensor:
        lengths = mask.sum(1).tolist()
        rows = zip(ids.tolist(), prompt_lengths.tolist(), lengths, strict=True)
        return torch.tensor([self.scores[tuple(row[start:end])] for row, start, end in rows])


def probabilities(policy: Backbone, max_tokens: int = MAX_TOKENS) -> Responses:
    return response_probabilities(
        policy, PROMPT, max_tokens=max_tokens, temperature=1.0, pad_id=PAD, eos_id=EOS
    )


def drawn_scores(seed: int, max_tokens: int = MAX_TOKENS) -> Responses:
    """A score for each response; none says anything of another."""
    responses = list(probabilities(Lookup(0), max_tokens))
    drawn = torch.randn(len(responses), generator=generator_for(seed, "scores"))
    return dict(zip(responses, drawn.tolist(), strict=True))


def best_policy(reference: Responses, scores: Responses, kl_coef: float) -> Responses:
    """The optimum in closed form."""
    weights = {y: p * math.exp(scores[y] / kl_coef) for y, p in reference.items()}
    return {y: weight / sum(weights.values()) for y, weight in weights.items()}


def kl(ours: Responses, theirs: Responses) -> float:
    return sum(p * math.log(p / theirs[y]) for y, p in ours.items() if p > 0)


def mean_score(policy: Responses, scores: Responses) -> float:
    return sum(p * scores[y] for y, p in policy.items())


def learn(
    make: Callable[[int], Backbone], scores: Responses, seed: int, **fields: Any
) -> Responses:
    """What the policy `make(seed)` gives after training on the known scores, EOS or not."""
    own = {"max_tokens": MAX_TOKENS, "missing_eos": "add", "missing_eos_score": 0.0}
    config = PPOConfig(**(own | fields))
    scorer: Any = KnownScores(scores)
    values = reward_model_from(
        make(seed), segment_embeddings=False, generator=generator_for(seed, "head")
    )
    critic = Critic(values, AS_IT_IS) if config.estimator == "gae" else None
    actors = Actors(make(seed), critic, Reference(make(seed), scorer, AS_IT_IS))
    for _ in run(PPOTraining(actors, [PROMPT], config, pad_id=PAD, eos_id=EOS, seed=seed)):
        pass
    return probabilities(actors.policy, config.max_tokens)
