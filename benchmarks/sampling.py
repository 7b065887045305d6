"""K = 4 responses to each of 64 prompts: 4.5M RWKV-7, prompt 64, response 48 tokens, float32.

Reading the prompts counts. EOS is off, so that all responses are equally long. Against the `rwkv`
package (one sequence at a time, the prompt's state copied for each response) and `rwkv7_hf`
(`generate`, one batch, its own cache). All sample from the plain softmax; ours never samples PAD.
"""

from statistics import median
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.command import Options, main
from benchmarks.models import hf_twin, our_model, random_tokens
from benchmarks.profiling import print_table, profiled
from benchmarks.rows import Row
from benchmarks.rwkv_process import RWKVProcess
from benchmarks.timing import alternate, ratio
from rlhf_core.generation import generate
from rlhf_core.rwkv.model import RWKV

PROMPTS, COPIES, PROMPT_TOKENS, RESPONSE_TOKENS = 64, 4, 64, 48
NO_EOS, PAD = -1, 0
TOLERANCE = 1e-4
GOALS = {"rwkv": 7.0, "rwkv7_hf": 3.0}


def measure(options: Options) -> list[Row]:
    """A row for each peer.

    The `rwkv` package does one sequence after the other, so a part of the prompts is enough for it;
    ours and rwkv7_hf take all at once.
    """
    model = our_model().eval()
    twin = hf_twin(model).eval()
    ids = random_tokens(PROMPTS, PROMPT_TOKENS, seed=2)
    prompts = ids.tolist()
    part = PROMPTS if options.long else PROMPTS // 8
    generator = Generator().manual_seed(0)

    def ours(some: list[list[int]] = prompts) -> None:
        generate(
            model,
            some,
            responses_per_prompt=COPIES,
            max_tokens=RESPONSE_TOKENS,
            temperature=1.0,
            pad_id=PAD,
            eos_id=NO_EOS,
            generator=generator,
        )

    if options.profile:
        print_table(profiled(ours, calls=1))
    with RWKVProcess(model) as worker:
        _assert_equal(model, twin, worker, ids[:4])
        for warm_up in (ours, lambda few: worker.sample(few, 1, 2)):
            warm_up(prompts[:1])
        _their_generate(twin, ids[:1])
        seconds = alternate(
            {
                "ours": ours,
                "rwkv": lambda: worker.sample(prompts[:part], COPIES, RESPONSE_TOKENS),
                "rwkv7_hf": lambda: _their_generate(twin, ids),
            },
            rounds=8 if options.long else 4,
            budget=options.budget,
            is_warm=True,
        )
    parts = {"rwkv": part, "rwkv7_hf": PROMPTS}
    return [
        _row(name, seconds["ours"], [PROMPTS / own * s for s in seconds[name]], own)
        for name, own in parts.items()
    ]


@torch.no_grad()
def _assert_equal(model: RWKV, twin: Any, worker: RWKVProcess, ids: Tensor) -> None:
    ours, _ = model(ids)
    for name, theirs in (("rwkv", worker.logits(ids.tolist())), ("hf", twin(input_ids=ids).logits)):
        error = float((ours - theirs).abs().max())
        if error > TOLERANCE:
            raise AssertionError(f"logits differ from {name}'s by {error}")


def _their_generate(twin: Any, ids: Tensor) -> None:
    found = twin.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=COPIES,
        max_new_tokens=RESPONSE_TOKENS,
        pad_token_id=PAD,
        eos_token_id=None,
    )
    if found.shape != (COPIES * len(ids), PROMPT_TOKENS + RESPONSE_TOKENS):
        raise AssertionError(f"rwkv7_hf sampled {tuple(found.shape)}")


def _row(name: str, ours: list[float], theirs: list[float], part: int) -> Row:
    of_part = "" if part == PROMPTS else f", from {part} of the prompts"
    return Row(
        what=f"Sampling K = {COPIES} for {PROMPTS} prompts, RWKV-7 4.5M, "
        f"{PROMPT_TOKENS} + {RESPONSE_TOKENS} tokens",
        ours=_rate(ours),
        peer=f"{name} {_rate(theirs)}{of_part}",
        ratio=ratio(theirs, ours),
        goal=GOALS[name],
    )


def _rate(seconds: list[float]) -> str:
    tokens = PROMPTS * COPIES * RESPONSE_TOKENS
    return f"{median(seconds):.1f} s ({tokens / median(seconds):.0f} tokens/s)"


if __name__ == "__main__":
    main(measure)
