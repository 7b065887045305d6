"""Answers requests about the `rwkv` package: one line of JSON each, see benchmarks/rwkv_process.py.

The package handles one sequence at a time, so its fastest honest use is: read each prompt once,
then go on from a copy of that state for each response.
"""

import json
import sys
from typing import Any

import torch
from rwkv.model import RWKV
from safetensors.torch import save_file
from torch import Generator


def main(path: str) -> None:
    """Answer until there are no more requests."""
    model = RWKV(model=path, strategy="cpu fp32")
    generator = Generator().manual_seed(0)
    for line in sys.stdin:
        print(json.dumps(answer(model, json.loads(line), generator)), flush=True)


def answer(model: Any, request: dict[str, Any], generator: Generator) -> dict[str, Any]:
    """Logits into the file that was named, or responses."""
    prompts = request["prompts"]
    if "logits" in request:
        logits = [model.forward(ids, None, full_output=True)[0] for ids in prompts]
        save_file({"logits": torch.stack(logits)}, request["logits"])
        return {}
    copies, tokens = request["copies"], request["tokens"]
    return {"responses": [sample(model, ids, copies, tokens, generator) for ids in prompts]}


def sample(
    model: Any, prompt: list[int], copies: int, tokens: int, generator: Generator
) -> list[list[int]]:
    """Responses to one prompt, which is read once."""
    first, state = model.forward(prompt, None)
    responses = []
    for _ in range(copies):
        logits, own = first, [part.clone() for part in state]
        response: list[int] = []
        for step in range(tokens):
            if step:
                logits, own = model.forward([response[-1]], own)
            probabilities = logits.softmax(-1)
            response.append(int(torch.multinomial(probabilities, 1, generator=generator)))
        responses.append(response)
    return responses


if __name__ == "__main__":
    main(sys.argv[1])
