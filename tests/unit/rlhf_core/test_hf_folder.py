"""Policies and reward models of transformers on disk: read by transformers, and from it."""

import copy
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

transformers = pytest.importorskip("transformers")

from rlhf_core.checkpoint import Policy, build_model, describe_model, load_policy, save_policy  # noqa: E402
from rlhf_core.hf import TransformersBackbone  # noqa: E402
from rlhf_core.hf_tokenizer import HFTokenizer  # noqa: E402
from rlhf_core.reward.checkpoint import Scorer, load_scorer, save_scorer  # noqa: E402
from rlhf_core.reward.model import reward_model_from, score  # noqa: E402
from rlhf_core.reward.normalisation import Normalisation  # noqa: E402
from rlhf_core.seeding import generator_for  # noqa: E402
from tests.unit.rlhf_core import hf_builders as hf  # noqa: E402
from tests.unit.rlhf_core.builders import (  # noqa: E402
    are_equal,
    ragged_dialogues,
    shaken,
    weights_of,
)

IDS = hf.random_ids(0, 2, 9)
TEXT = "my lamp flickers"


def sized(family: str) -> Any:
    """A float32 model of a family with a row for each token of the tiny tokenizer."""
    model = hf.FAMILIES[family]()
    with torch.random.fork_rng():
        model.resize_token_embeddings(300, mean_resizing=False)
    return shaken(model, 0, 0.2).eval()


def downloaded(model: Any, directory: Path, **how: Any) -> Path:
    """A folder as transformers itself writes it."""
    model.save_pretrained(directory, **how)
    hf.tiny_tokenizer().save_pretrained(directory)
    return directory


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture(params=["gpt2", "llama", "llama tied", "qwen3", "gpt_neox"])
def model(request: pytest.FixtureRequest) -> Any:
    return sized(request.param)


@torch.no_grad()
def test_a_downloaded_folder_is_read(model: Any, tmp_path: Path) -> None:
    # Guards: weights left random, another tokenizer.
    policy = load_policy(downloaded(model, tmp_path))
    assert not policy.model.training
    # In float64, here and below: GPT-2's GELU is one operation of ours and eight of theirs.
    logits = policy.model.double()(IDS)[0]
    torch.testing.assert_close(logits, model.double()(input_ids=IDS).logits, rtol=0, atol=1e-12)
    expected = hf.tiny_tokenizer()(TEXT)["input_ids"]
    assert policy.tokenizer.encode(TEXT) == expected


@torch.no_grad()
def test_shards_and_half_precision_are_read(tmp_path: Path) -> None:
    # Guards: the first shard alone, weights that stay bfloat16.
    model = sized("llama")
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())
    downloaded(copy.deepcopy(model).bfloat16(), tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    policy = load_policy(tmp_path)
    assert torch.equal(policy.model(IDS)[0], model(input_ids=IDS).logits)


@torch.no_grad()
def test_transformers_reads_what_we_save(model: Any, tmp_path: Path) -> None:
    # Guards: names or sizes that only we understand.
    tokenizer = HFTokenizer(hf.tiny_tokenizer())
    save_policy(Policy(TransformersBackbone(model), tokenizer), tmp_path)
    theirs, found = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(found.values())
    assert type(theirs) is type(model)
    assert theirs.config.architectures == [type(model).__name__]
    read, saved = (it.eval().double()(input_ids=IDS).logits for it in (theirs, model))
    torch.testing.assert_close(read, saved, rtol=0, atol=1e-12)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(TEXT)["input_ids"] == tokenizer.encode(TEXT)
    assert theirs.chat_template == hf.CHAT_TEMPLATE
    assert not list(tmp_path.glob("*.bin"))


def test_saving_what_was_loaded_gives_equal_bytes(model: Any, tmp_path: Path) -> None:
    # Guards: an artifact whose identity depends on where it was or how often it was saved.
    downloaded(model, tmp_path / "first")
    folders = [tmp_path / name for name in ("first", "second", "third")]
    for source, target in pairwise(folders):
        target.mkdir()
        save_policy(load_policy(source), target)
    assert contents(folders[1]) == contents(folders[2])
    assert not [b for b in contents(folders[1]).values() if str(tmp_path).encode() in b]
    first, second = (load_policy(folder).model for folder in folders[:2])
    assert are_equal(weights_of(first), weights_of(second))


@torch.no_grad()
def test_a_model_is_built_from_its_description(model: Any) -> None:
    # Guards: a size or rope setting that the description does not carry.
    backbone = TransformersBackbone(model)
    built = build_model(json.loads(json.dumps(describe_model(backbone)))).eval()
    built.load_state_dict(backbone.state_dict())
    assert torch.equal(built(IDS)[0], backbone(IDS)[0])


@torch.no_grad()
def test_a_loaded_scorer_is_the_saved_one(model: Any, tmp_path: Path) -> None:
    # Guards: a trunk saved with its vocabulary head, a tied embedding lost with it.
    backbone = TransformersBackbone(model)
    scorer_model = reward_model_from(
        backbone, segment_embeddings=True, generator=generator_for(0, "head")
    ).eval()
    scorer = Scorer(
        shaken(scorer_model, 1), Normalisation(0.5, 1.0), HFTokenizer(hf.tiny_tokenizer())
    )
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    save_scorer(scorer, folders[0])
    names = load_file(folders[0] / "model.safetensors")
    assert [name for name in names if "head" in name] == ["head.weight"]  # the scalar one
    loaded = load_scorer(folders[0])
    save_scorer(loaded, folders[1])
    assert contents(folders[0]) == contents(folders[1])
    assert are_equal(weights_of(loaded.model), weights_of(scorer.model))
    batch = ragged_dialogues()
    assert torch.equal(score(loaded.model, batch), score(scorer.model, batch))


def test_a_folder_without_some_weights_is_refused(tmp_path: Path) -> None:
    # Guards: transformers' habit to go on with random ones.
    downloaded(sized("llama"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"no weights.*model\.layers\.1\.mlp\.up_proj"):
        load_policy(tmp_path)


def test_pickled_and_quantised_weights_are_refused(tmp_path: Path) -> None:
    # Guards: code that runs while weights are read.
    model = downloaded(sized("gpt2"), tmp_path)
    (model / "model.safetensors").unlink()
    torch.save({}, model / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_policy(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="quantised"):
        load_policy(tmp_path)


def test_code_in_a_folder_is_never_run(tmp_path: Path) -> None:
    # Guards: trust_remote_code, by a flag or by a question that somebody answers.
    downloaded(sized("gpt2"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"}
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "evil"}))
    with pytest.raises(ValueError, match="never run"):
        load_policy(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    # Guards: an index error in the middle of a training.
    downloaded(hf.llama(), tmp_path)
    with pytest.raises(ValueError, match=r"\d+ tokens, the embedding 40 rows"):
        load_policy(tmp_path)


def test_the_core_is_imported_without_transformers_and_says_what_to_install(
    tmp_path: Path,
) -> None:
    # Guards: an extra that everybody needs.
    downloaded(sized("gpt2"), tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    code = (
        "import sys\nsys.modules['transformers'] = None\n"
        "from pathlib import Path\nfrom rlhf_core.hf_folder import read_folder\n"
        f"try:\n    read_folder(Path({str(tmp_path)!r}))\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "-e '.[hf]'" in done.stdout
