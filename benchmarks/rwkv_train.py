"""Train step of a 4.5M-parameter RWKV-7 against `rwkv7_hf`, and against bare matrix products.

L4 C256 V2048, B8 T128, float32; forward, backward, clip by norm, AdamW. Loss and gradient norm of
the two are equal before anything is timed.

The share of the matmul rate is 6 x matmul parameters x tokens / step time, over the rate of bare
products of the same shapes: for each matrix W (in, out) and M tokens, X W, dY W^T and X^T dY.
`benchmarks.models.matmul_weights` says which parameters count: the head does, the embedding and
all vectors do not. Neither does the WKV recurrence, so 100 % is out of reach.
"""

from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer

from benchmarks.command import Options, main
from benchmarks.models import hf_twin, matmul_weights, our_model, random_tokens
from benchmarks.products import Shape, count_flops, products
from benchmarks.profiling import print_table, profiled, shares
from benchmarks.rows import Row
from benchmarks.timing import alternate, ratio
from rlhf_core.optim import BETAS, RWKV_EPS, build_optimizer
from rlhf_core.rwkv.model import RWKV

BATCH, TOKENS = 8, 128
RATE, DECAY, MAX_NORM = 1e-4, 0.1, 1.0
LOSS_TOLERANCE = 1e-5
GOAL_PEER, GOAL_SHARE = 10.0, 0.6


def measure(options: Options) -> list[Row]:
    """Rows: against the peer, and the share of the matmul rate."""
    model = our_model()
    ids = random_tokens(BATCH, TOKENS + 1, seed=1)
    twin = hf_twin(model).train()
    _assert_equal(model, twin, ids)
    optimizer = build_optimizer(model, learning_rate=RATE, weight_decay=DECAY)
    twins = AdamW(
        twin.parameters(), lr=RATE, betas=BETAS, eps=RWKV_EPS, weight_decay=DECAY, fused=True
    )

    def our_step() -> None:
        _step(model, optimizer, _our_loss(model, ids))

    def their_step() -> None:
        _step(twin, twins, _their_loss(twin, ids))

    shapes = step_shapes(matmul_weights(model), BATCH * TOKENS)
    recorded = profiled(our_step)
    if options.profile:
        print_table(recorded)
    rounds = 20 if options.long else 7
    against_bare = alternate(
        {"ours": our_step, "bare": products(shapes)}, rounds=rounds, budget=options.budget / 4
    )
    against_peer = alternate(
        {"ours": our_step, "theirs": their_step}, rounds=rounds, budget=3 * options.budget / 4
    )
    return [
        _peer_row(against_peer),
        _share_row(against_bare, count_flops(shapes), shares(recorded)),
    ]


def step_shapes(weights: list[tuple[int, int]], tokens: int) -> list[Shape]:
    """The (M, K, N) of a step: output, gradient of the input, gradient of the weight."""
    return [
        shape
        for inputs, outputs in weights
        for shape in (
            (tokens, inputs, outputs),
            (tokens, outputs, inputs),
            (inputs, tokens, outputs),
        )
    ]


def _our_loss(model: RWKV, ids: Tensor) -> Tensor:
    logits, _ = model(ids[:, :-1])
    return cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def _their_loss(twin: nn.Module, ids: Tensor) -> Tensor:
    logits = twin(input_ids=ids[:, :-1]).logits
    return cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def _step(model: nn.Module, optimizer: Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
    optimizer.step()


def _assert_equal(model: RWKV, twin: nn.Module, ids: Tensor) -> None:
    """Same loss and same gradient norm, else the two do not do the same work."""
    found = []
    for loss, parameters in (
        (_our_loss(model, ids), list(model.parameters())),
        (_their_loss(twin, ids), list(twin.parameters())),
    ):
        loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        found.append(torch.stack([loss.detach(), norm]))
    ours, theirs = found
    if not torch.allclose(ours, theirs, rtol=LOSS_TOLERANCE, atol=0):
        raise AssertionError(f"loss and gradient norm are {ours.tolist()}, not {theirs.tolist()}")


def _peer_row(seconds: dict[str, list[float]]) -> Row:
    return Row(
        what=f"Train step, RWKV-7 4.5M, B{BATCH} T{TOKENS}",
        ours=_rate(seconds["ours"]),
        peer=f"rwkv7_hf {_rate(seconds['theirs'])}",
        ratio=ratio(seconds["theirs"], seconds["ours"]),
        goal=GOAL_PEER,
    )


def _share_row(seconds: dict[str, list[float]], flops: int, reason: str) -> Row:
    ours, bare = (flops / median(seconds[name]) / 1e9 for name in ("ours", "bare"))
    share = ratio(seconds["bare"], seconds["ours"])
    why = f"all but products with weights counts against it; self CPU time: {reason}"
    return Row(
        what="The same step's share of the rate of its matrix products",
        ours=f"{ours:.0f} GFLOP/s",
        peer=f"bare products {bare:.0f} GFLOP/s",
        ratio=share,
        goal=GOAL_SHARE,
        unit="%",
        note="" if share.median >= GOAL_SHARE else why,
    )


def _rate(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.0f} ms ({BATCH * TOKENS / median(seconds):.0f} tokens/s)"


if __name__ == "__main__":
    main(measure)
