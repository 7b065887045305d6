"""One thread: two on models this small mostly wait for each other. `make parity` skips nothing."""

import importlib.util
import os
from collections.abc import Iterator

import pytest
import torch

PEERS = ("pyrwkv_tokenizer", "rwkv", "rwkv7_hf", "transformers", "trl")


def pytest_configure() -> None:
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("PARITY_REQUIRED"):
        pytest.exit(f"not installed: {', '.join(missing)}; run `make parity`", returncode=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
