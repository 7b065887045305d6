"""Equal to the official `rwkv` package, which reads the checkpoints that we write."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.language.config import LanguageConfig
from rlhf_core.language.training import Document, LanguageTraining
from rlhf_core.official import save_official
from rlhf_core.rwkv.model import RWKV
from rlhf_core.rwkv4.model import RWKV4
from tests.unit.rlhf_core.builders import PAD, tiny_policy, token_rows, weights_of
from tests.unit.rlhf_core.rwkv4.setting import tiny_rwkv4

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        importlib.util.find_spec("rwkv") is None, reason="the package rwkv is not installed"
    ),
]

LAYERS, VOCAB = 3, 64

# A process for each family: the package reads its settings at import and turns gradients off.
PROGRAM = """
import json, sys
from rwkv.model import RWKV
from safetensors.torch import save_file
for path in sys.argv[2:]:
    model = RWKV(model=path, strategy="cpu fp32")
    results = {}
    for row, ids in enumerate(json.loads(sys.argv[1])):
        logits, state = model.forward(list(ids), None, full_output=True)
        stepped = None
        for token in ids:
            last, stepped = model.forward([token], stepped)
        results |= {f"{row}/logits": logits.view(len(ids), -1), f"{row}/last": last}
        results |= {f"{row}/state/{i}": part for i, part in enumerate(state)}
    save_file({name: part.contiguous() for name, part in results.items()}, path + ".results")
"""


class Family(NamedTuple):
    """How we build one, and how the package reads it."""

    build: Callable[[], RWKV | RWKV4]
    switch: str
    parts: int


FAMILIES = {
    # The package supports heads of 64 channels alone.
    "rwkv7": Family(
        lambda: tiny_policy(vocab_size=VOCAB, dim=128, num_layers=LAYERS, head_size=64), "1", 3
    ),
    "rwkv4": Family(lambda: tiny_rwkv4(vocab_size=VOCAB, dim=64, num_layers=LAYERS), "0", 5),
}


class Run(NamedTuple):
    """What the package made of one checkpoint of ours."""

    model: RWKV | RWKV4
    theirs: dict[str, Tensor]
    parts: int


def rows() -> list[list[int]]:
    return token_rows(0, [1, 37], vocab_size=VOCAB)


def trained(model: RWKV | RWKV4) -> RWKV | RWKV4:
    """`model` after some steps of the training that the pipeline does, in place."""
    before = weights_of(model)
    documents = [Document(ids, 0) for ids in token_rows(1, [9, 20, 14, 5], vocab_size=VOCAB)]
    config = LanguageConfig(num_steps=4, batch_size=2, learning_rate=1e-2)
    training = LanguageTraining(model, documents, config, pad_id=PAD, seed=0)
    for _ in range(config.num_steps):
        training.advance()
    moved = [name for name, x in weights_of(model).items() if (x - before[name]).abs().max() > 1e-3]
    assert len(moved) > 0.9 * len(before)
    return model.eval()


@pytest.fixture(scope="module", params=FAMILIES)
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    family = FAMILIES[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    models = {"random": family.build(), "trained": trained(family.build())}
    for name, model in models.items():
        save_official(model, directory / f"{name}.pth")
    paths = [str(directory / name) for name in models]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(rows()), *paths],
        env=os.environ | {"RWKV_V7_ON": family.switch, "RWKV_JIT_ON": "0", "RWKV_CUDA_ON": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: Run(model, load_file(directory / f"{name}.results"), family.parts)
        for name, model in models.items()
    }


@pytest.mark.parametrize("name", ["random", "trained"])
@torch.no_grad()
def test_logits_are_those_of_the_official_package(runs: dict[str, Run], name: str) -> None:
    # Guards: a reading of the equations that we and our oracle share; a file of ours that the
    # package reads as another model.
    model, theirs, _ = runs[name]
    for row, ids in enumerate(rows()):
        logits, _ = model(torch.tensor([ids]))
        assert logits.std() > 0.5
        assert_close(logits[0], theirs[f"{row}/logits"], atol=1e-4, rtol=0)
        state = None
        for token in ids:
            last, state = model(torch.tensor([[token]]), None, state)
        assert_close(last[0, 0], theirs[f"{row}/last"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["random", "trained"])
@torch.no_grad()
def test_the_state_is_that_of_the_official_package(runs: dict[str, Run], name: str) -> None:
    # Guards: a state that only our own continuation understands.
    model, theirs, parts = runs[name]
    for row, ids in enumerate(rows()):
        _, state = model(torch.tensor([ids]))
        for layer in range(LAYERS):
            for part, ours in enumerate(state):
                expected = theirs[f"{row}/state/{parts * layer + part}"]
                scale = max(float(expected.abs().max()), 1.0)
                assert_close(ours[layer][0], expected, atol=1e-5 * scale, rtol=0)
