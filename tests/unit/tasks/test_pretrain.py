"""The stage pretrain where the user has a model: it is kept as it is, or refused in one line."""

import json
from pathlib import Path

import pytest

from data.errors import InputError
from rlhf_core.checkpoint import Policy, save_policy
from rlhf_core.language.config import LanguageConfig
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.tokenizer import train_tokenizer
from tasks.base_model_config import BaseModelConfig
from tasks.context import StageContext
from tasks.pretrain import PretrainConfig, pretrain
from tasks.stage_log import StageLog, Summary
from tests.unit.rlhf_core.builders import tiny_policy


def run(root: Path, start: Path) -> Summary:
    for name in ("out", "log"):
        (root / name).mkdir()
    context = StageContext(
        out=root / "out",
        seed=0,
        threads=1,
        device="cpu",
        var=root / "var",
        checkpoints=root / "checkpoints",
        log=StageLog(root / "log"),
    )
    config = PretrainConfig(
        base_model=BaseModelConfig(path=str(start)), model=RWKVConfig(), pretrain=LanguageConfig()
    )
    return pretrain(context, config, split=root / "nothing is read")


def write_policy(folder: Path) -> Path:
    folder.mkdir()
    tokenizer = train_tokenizer(["some text"], 260)
    save_policy(Policy(tiny_policy(vocab_size=tokenizer.vocab_size), tokenizer), folder)
    return folder


def test_a_policy_of_ours_is_kept_to_the_byte(tmp_path: Path) -> None:
    # Guards: a start from an earlier run's artifact that is not that artifact.
    start = write_policy(tmp_path / "start")
    summary = run(tmp_path, start)
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found == {path.name: path.read_bytes() for path in start.iterdir()}
    assert "model and pretrain are unused" in str(summary["notes"])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b'{"architecture": "rwkv5"}'),
        ("config.json", b'{"architecture": "rwkv7", "colour": 1}'),
        ("config.json", b'{"model_type": "no such type"}'),
        ("model.safetensors", b"x"),
        ("tokenizer.json", b"{}"),
    ],
)
def test_a_model_that_cannot_be_read_is_the_users_mistake(
    tmp_path: Path, file: str, content: bytes
) -> None:
    # Guards: a traceback where one line says which field is wrong.
    start = write_policy(tmp_path / "start")
    (start / file).write_bytes(content)
    with pytest.raises(InputError, match=r"base_model\.path: "):
        run(tmp_path, start)


def test_weights_of_another_size_are_the_users_mistake(tmp_path: Path) -> None:
    # Guards: PyTorch's page about every tensor.
    start = write_policy(tmp_path / "start")
    config = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps(config | {"num_layers": 3}))
    with pytest.raises(InputError, match=r"base_model\.path: "):
        run(tmp_path, start)
