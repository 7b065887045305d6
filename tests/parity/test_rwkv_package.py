"""Equal to the official `rwkv` package, which reads our state dict as its own checkpoint."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.unit.rlhf_core.builders import tiny_policy, token_rows

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        importlib.util.find_spec("rwkv") is None, reason="the package rwkv is not installed"
    ),
]

# A process of its own: the package reads its settings at import and turns gradients off for all.
PROGRAM = """
import json, sys, torch
from rwkv.model import RWKV
path, rows = sys.argv[1], json.loads(sys.argv[2])
model = RWKV(model=path, strategy="cpu fp32")
results = []
for ids in rows:
    logits, state = model.forward(list(ids), None, full_output=True)
    stepped = None
    for token in ids:
        last, stepped = model.forward([token], stepped)
    results.append({"logits": logits, "last": last, "state": state})
torch.save(results, path + ".results")
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    path = tmp_path_factory.mktemp("parity") / "model"
    # The package supports heads of 64 channels alone.
    policy = tiny_policy(vocab_size=64, dim=128, num_layers=3, head_size=64, chunk_size=16)
    torch.save(policy.state_dict(), f"{path}.pth")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(path), json.dumps(rows())],
        env=os.environ | {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "0", "RWKV_CUDA_ON": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    loaded: list[dict[str, object]] = torch.load(Path(f"{path}.results"), weights_only=True)
    return loaded


def rows() -> list[list[int]]:
    return token_rows(0, [1, 37], vocab_size=64)


@torch.no_grad()
def test_logits_and_state_are_those_of_the_official_package(
    results: list[dict[str, object]],
) -> None:
    # Guards: a reading of the equations that we and our oracle share.
    policy = tiny_policy(vocab_size=64, dim=128, num_layers=3, head_size=64, chunk_size=16)
    for ids, theirs in zip(rows(), results, strict=True):
        logits, state = policy(torch.tensor([ids]))
        assert logits.abs().max() > 0.5
        assert isinstance(theirs["logits"], torch.Tensor)
        assert_close(logits[0], theirs["logits"].view(len(ids), -1), atol=1e-4, rtol=0)
        assert_close(logits[0, -1], theirs["last"], atol=1e-4, rtol=0)
        parts = theirs["state"]
        assert isinstance(parts, list)
        for layer in range(3):
            for ours, part in zip(state, parts[3 * layer : 3 * layer + 3], strict=True):
                scale = float(part.abs().max())  # logits are of order 1, states of order 100
                assert_close(ours[layer, 0], part, atol=1e-5 * max(scale, 10.0), rtol=0)
