"""Every response that a policy can give to a prompt, with its exact probability.

One whole forward pass over the unpadded ids for each prefix: no state, no batch, no sampling.
"""

import torch

from rlhf_core.rwkv.model import RWKV


def response_probabilities(
    policy: RWKV,
    prompt: list[int],
    *,
    max_tokens: int,
    temperature: float,
    pad_id: int,
    eos_id: int,
) -> dict[tuple[int, ...], float]:
    """Probability of each response; PAD cannot be drawn, EOS ends."""
    done: dict[tuple[int, ...], float] = {}
    going = {(): 1.0}
    for step in range(max_tokens):
        grown: dict[tuple[int, ...], float] = {}
        for prefix, probability in going.items():
            with torch.no_grad():
                logits = policy(torch.tensor([[*prompt, *prefix]]))[0][0, -1].double()
            logits[pad_id] = -torch.inf
            for token, share in enumerate((logits / temperature).softmax(0).tolist()):
                if token == pad_id:
                    continue
                ends = token == eos_id or step == max_tokens - 1
                (done if ends else grown)[*prefix, token] = probability * share
        going = grown
    return done
