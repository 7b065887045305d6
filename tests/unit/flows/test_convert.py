"""`rlhf convert`: there and back, and every mistake a message that leaves nothing behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from data.errors import InputError
from flows import convert as module
from flows.convert import convert
from flows.spine import repository_root
from rlhf_core.checkpoint import Policy, load_policy, save_policy
from rlhf_core.official import load_official, save_official
from rlhf_core.rwkv.model import RWKV
from rlhf_core.rwkv4.model import RWKV4
from rlhf_core.tokenizer import train_tokenizer
from rlhf_core.world_tokenizer import WorldTokenizer
from tests.unit.rlhf_core.builders import are_equal, tiny_policy, weights_of
from tests.unit.rlhf_core.rwkv4.setting import tiny_rwkv4

TOKENIZER = train_tokenizer(["some text"], 260)
MODELS: dict[str, Callable[..., RWKV | RWKV4]] = {"rwkv7": tiny_policy, "rwkv4": tiny_rwkv4}


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    path = tmp_path / "given" / "tokenizer.json"
    path.parent.mkdir()
    TOKENIZER.save(path)
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "model.pth"
    save_official(tiny_policy(vocab_size=300), path)
    return path


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*.*")}


def go(source: Path, destination: Path, tokenizer: str = "", *, force: bool = False) -> None:
    convert(source, destination, tokenizer=tokenizer, force=force)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("family", MODELS)
def test_a_checkpoint_becomes_a_policy_and_comes_back(
    tmp_path: Path, tokenizer_json: Path, family: str, suffix: str
) -> None:
    # Guards: weights, sizes or tokenizer that change on the way.
    model = MODELS[family](vocab_size=300, chunk_size=16)
    first, policy, second = tmp_path / f"a{suffix}", tmp_path / "policy", tmp_path / f"b{suffix}"
    save_official(model, first)
    go(first, policy, str(tokenizer_json))
    loaded = load_policy(policy)
    assert json.loads((policy / "config.json").read_text())["architecture"] == family
    assert are_equal(weights_of(loaded.model), weights_of(model))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert torch.equal(loaded.model(ids)[0], model(ids)[0])
    assert loaded.tokenizer.encode("some text") == TOKENIZER.encode("some text")
    go(policy, second)
    assert first.read_bytes() == second.read_bytes()


def test_one_format_becomes_the_other(tmp_path: Path, checkpoint: Path) -> None:
    # Guards: a detour over a tokenizer that a file does not have.
    go(checkpoint, tmp_path / "b.safetensors")
    go(tmp_path / "b.safetensors", tmp_path / "c.pth")
    assert (tmp_path / "c.pth").read_bytes() == checkpoint.read_bytes()


def test_a_model_of_65536_tokens_gets_the_world_tokenizer(tmp_path: Path) -> None:
    # Guards: the commonest checkpoints needing an option; PAD or EOS outside the embedding.
    pytest.importorskip("pyrwkv_tokenizer")
    path = tmp_path / "world.pth"
    save_official(tiny_rwkv4(vocab_size=65536, dim=2, ffn_dim=2), path)
    go(path, tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy")
    assert isinstance(loaded.tokenizer, WorldTokenizer)
    ids = [*loaded.tokenizer.encode("Hi\n\n"), loaded.tokenizer.eos_id, loaded.tokenizer.pad_id]
    assert loaded.model(torch.tensor([ids]))[0].isfinite().all()


def test_the_names_of_gpt_neox_are_known(tmp_path: Path, checkpoint: Path) -> None:
    # Guards: the tokenizer of the Pile and Raven models, which calls PAD and EOS otherwise.
    inner = tokenizers.Tokenizer(models.BPE({"a": 0}, []))
    inner.add_special_tokens(["<|endoftext|>", "<|padding|>"])
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.save(str(tmp_path / "20B_tokenizer.json"))
    go(checkpoint, tmp_path / "policy", str(tmp_path / "20B_tokenizer.json"))
    found = load_policy(tmp_path / "policy").tokenizer
    assert (found.eos_id, found.pad_id) == (1, 2)


def test_what_was_found_is_printed(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Guards: a conversion of another file than the one that was meant, unnoticed.
    go(checkpoint, tmp_path / "b.safetensors")
    printed = capsys.readouterr().out
    parameters = sum(x.numel() for x in load_official(checkpoint).parameters())
    for text in ("RWKV-7", "300", "num_layers", "decay_rank", f"{parameters:,}", "b.safetensors"):
        assert text in printed
    assert "chunk_size" not in printed


def mistakes(tmp_path: Path) -> dict[str, tuple[Path, Path, str, str]]:
    """{case: (source, destination, tokenizer, message)}; the sources lie in `tmp_path`."""
    checkpoint, given = tmp_path / "model.pth", str(tmp_path / "given" / "tokenizer.json")
    policy, new = tmp_path / "policy", tmp_path / "new"
    policy.mkdir()
    save_policy(Policy(tiny_policy(vocab_size=300), TOKENIZER), policy)
    (tmp_path / "folder").mkdir()
    cut, small, other = tmp_path / "cut.pth", tmp_path / "small.pth", tmp_path / "other.json"
    cut.write_bytes(checkpoint.read_bytes()[:-200])
    save_official(tiny_policy(vocab_size=100), small)
    other.write_text("[1, 2", encoding="utf-8")
    return {
        "no source": (tmp_path / "no.pth", new, given, r"no\.pth does not exist"),
        "two directories": (policy, new, "", "must be a file"),
        "no policy": (tmp_path / "folder", tmp_path / "new.pth", "", "no whole policy directory"),
        "no parent": (checkpoint, tmp_path / "no" / "new", given, "create it"),
        "cut short": (cut, new, given, r"cut\.pth: .*cut short"),
        "suffix": (other, new, given, r"it must be \.pth or \.safetensors"),
        "tokenizer needed": (checkpoint, new, "", "--tokenizer PATH/tokenizer.json"),
        "tokenizer of another": (small, new, given, "the tokenizer has 260 tokens, the model 100"),
        "world for another": (checkpoint, new, "world", "the tokenizer has 65536 tokens"),
        "no tokenizer there": (checkpoint, new, str(tmp_path / "no.json"), "--tokenizer .*no.json"),
        "no tokenizer in it": (checkpoint, new, str(other), "--tokenizer .*other.json"),
        "useless tokenizer": (policy, tmp_path / "new.pth", given, "leave out --tokenizer"),
        "there already": (checkpoint, policy, given, "--force replaces it"),
        "file there already": (policy, checkpoint, "", "--force replaces it"),
        "file to directory": (checkpoint, other, given, "is a file"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "no source",
        "two directories",
        "no policy",
        "no parent",
        "cut short",
        "suffix",
        "tokenizer needed",
        "tokenizer of another",
        "world for another",
        "no tokenizer there",
        "no tokenizer in it",
        "useless tokenizer",
        "there already",
        "file there already",
        "file to directory",
    ],
)
@pytest.mark.usefixtures("checkpoint", "tokenizer_json")
def test_a_mistake_is_a_message_and_leaves_everything_as_it_was(tmp_path: Path, case: str) -> None:
    # Guards: a traceback, half a policy, a temporary directory that stays.
    if case == "world for another":
        pytest.importorskip("pyrwkv_tokenizer")
    source, destination, tokenizer, message = mistakes(tmp_path)[case]
    before = contents(tmp_path)
    with pytest.raises(InputError, match=message):
        go(source, destination, tokenizer)
    assert contents(tmp_path) == before


def test_force_replaces_a_policy_and_a_file(tmp_path: Path, tokenizer_json: Path) -> None:
    # Guards: --force that adds files to the old ones.
    first, second, policy = tmp_path / "a.pth", tmp_path / "b.pth", tmp_path / "policy"
    save_official(tiny_policy(vocab_size=300), first)
    save_official(tiny_rwkv4(vocab_size=300), second)
    go(first, policy, str(tokenizer_json))
    (policy / "notes.txt").touch()
    go(second, policy, str(tokenizer_json), force=True)
    assert isinstance(load_policy(policy).model, RWKV4)
    assert not (policy / "notes.txt").exists()
    go(policy, first, force=True)
    assert first.read_bytes() == second.read_bytes()


def test_force_replaces_no_other_directory(tmp_path: Path, checkpoint: Path) -> None:
    # Guards: `--force` with a typing error deleting somebody's home.
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").touch()
    with pytest.raises(InputError, match="no policy directory"):
        go(checkpoint, home, "world", force=True)
    assert (home / "thesis.txt").exists()


@pytest.mark.parametrize("failing", ["save_official", "save_policy"])
def test_a_full_disk_leaves_the_old_one(
    tmp_path: Path,
    checkpoint: Path,
    tokenizer_json: Path,
    failing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Guards: half a file under the final name.
    policy = tmp_path / "policy"
    go(checkpoint, policy, str(tokenizer_json))
    before = contents(tmp_path)

    def full(_: object, path: Path) -> None:
        (path / "half.part" if path.is_dir() else path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(module, failing, full)
    paths = (policy, checkpoint) if failing == "save_official" else (checkpoint, policy)
    tokenizer = "" if failing == "save_official" else str(tokenizer_json)
    with pytest.raises(InputError, match="no space"):
        go(*paths, tokenizer, force=True)
    assert contents(tmp_path) == before


def test_a_failure_at_the_last_moment_puts_the_old_one_back(
    tmp_path: Path, checkpoint: Path, tokenizer_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: the old policy deleted with the temporary directory that it was moved into.
    policy = tmp_path / "target"
    go(checkpoint, policy, str(tokenizer_json))
    before = contents(tmp_path)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "policy":
            raise OSError("no such luck")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(InputError, match="no such luck"):
        go(checkpoint, policy, str(tokenizer_json), force=True)
    assert contents(tmp_path) == before


def rlhf(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "convert", *map(str, arguments)],
        cwd=repository_root(),
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_converts_and_says_mistakes_with_exit_code_2(
    tmp_path: Path, checkpoint: Path
) -> None:
    # Guards: an option that does not reach the function; a traceback for a mistake.
    done = rlhf(checkpoint, tmp_path / "b.safetensors")
    assert done.returncode == 0, done.stderr
    assert "RWKV-7" in done.stdout
    again = rlhf(checkpoint, tmp_path / "b.safetensors")
    assert again.returncode == 2
    assert again.stderr.startswith("rlhf: ")
    assert len(again.stderr.splitlines()) == 1


def test_help_teaches() -> None:
    # Guards: a command that nobody can use without its source.
    done = rlhf("--help")
    assert done.returncode == 0
    for text in ("SOURCE", "DESTINATION", "--tokenizer", "--force", "Examples", "Exit codes"):
        assert text in done.stdout
