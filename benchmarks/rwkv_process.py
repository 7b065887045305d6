"""The `rwkv` package in a process of its own (benchmarks/rwkv_worker.py), asked line by line.

It reads its settings from the environment at import and turns gradients off for its process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import torch
from safetensors.torch import load_file
from torch import Tensor

from rlhf_core.rwkv.model import RWKV

SETTINGS = {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "1", "RWKV_CUDA_ON": "0"}


class RWKVProcess:
    """A running process with the weights of `model`; a context manager, so that it ends."""

    def __init__(self, model: RWKV) -> None:
        self._model = model

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory()
        path = Path(self._folder.name) / "model"
        torch.save(self._model.state_dict(), f"{path}.pth")  # the only layout that it reads
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.rwkv_worker", str(path)],
            env=os.environ | SETTINGS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def logits(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Logits at every position of prompts of equal length, (B, T, V)."""
        path = Path(self._folder.name) / "logits.safetensors"
        self._ask({"prompts": prompts, "logits": str(path)})
        return load_file(path)["logits"]

    def sample(self, prompts: Sequence[Sequence[int]], copies: int, tokens: int) -> Any:
        """`copies` responses of `tokens` tokens to each prompt, as lists of lists."""
        reply = self._ask({"prompts": prompts, "copies": copies, "tokens": tokens})
        return reply["responses"]

    def _ask(self, request: dict[str, object]) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        print(json.dumps(request), file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):  # the package itself prints other lines
                return json.loads(line)
        raise RuntimeError("the process of the rwkv package ended without an answer")
