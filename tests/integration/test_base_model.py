"""The real pipeline from a model of transformers that the user has: a folder, as downloaded."""

from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")

from rlhf_core.checkpoint import load_policy  # noqa: E402
from tests.integration.test_pipeline import ROOT, STAGES, newest_run, rlhf, states  # noqa: E402
from tests.unit.rlhf_core.hf_builders import tiny_tokenizer  # noqa: E402

pytestmark = pytest.mark.server


def write_folder(folder: Path) -> None:
    """A random Llama with the tokenizer of a chat model, as transformers saves them."""
    torch.manual_seed(0)  # Of one in some, no two replies to a training prompt differ in rank.
    # Whole words: replies of single letters would all be ranked equal.
    words = (ROOT / "data" / "seeds" / "support_desk.toml").read_text(encoding="utf-8")
    sizes = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    transformers.LlamaForCausalLM(sizes).save_pretrained(folder)
    tiny_tokenizer(words, 512, pad="<pad>").save_pretrained(folder)


def test_every_stage_runs_from_the_users_model_and_transformers_reads_the_result(
    tmp_path: Path,
) -> None:
    # Guards: a stage that takes the policy for an RWKV, a form of dialogues of our own in between.
    write_folder(tmp_path / "llama")
    var, start = tmp_path / "var", ("--set", "base_model.path=llama")
    done = rlhf(var, "run", "--config", "smoke", *start)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(var) == dict.fromkeys(STAGES, "made")
    assert "sections model and pretrain are unused" in " ".join(done.stdout.split())
    trained = var / "artifacts" / newest_run(var)["train_policy"]["artifact"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(trained)
    ours = load_policy(trained)
    assert type(theirs) is transformers.LlamaForCausalLM
    assert theirs.num_parameters() == sum(p.numel() for p in ours.model.parameters())
    assert ours.tokenizer.has_chat_template
    assert (ours.tokenizer.pad_id, ours.tokenizer.eos_id) == (3, 2)

    # Another template is another model: all is made again, from the same path.
    template = tmp_path / "llama" / "chat_template.jinja"
    template.write_text(template.read_text() + "{# changed #}")
    done = rlhf(var, "run", "--config", "smoke", *start, "--until", "pretrain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(var) == {"split": "cached", "pretrain": "made"}


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no weights"),
        ("", "does not exist"),
    ],
)
def test_an_incomplete_folder_is_one_message_with_exit_code_2(
    tmp_path: Path, missing: str, message: str
) -> None:
    # Guards: a traceback, or a run that fails after the stages before.
    if missing:
        write_folder(tmp_path / "llama")
        (tmp_path / "llama" / missing).unlink()
    done = rlhf(tmp_path / "var", "run", "--config", "smoke", "--set", "base_model.path=llama")
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "set base_model.path to" in done.stderr
    assert "Traceback" not in done.stderr
