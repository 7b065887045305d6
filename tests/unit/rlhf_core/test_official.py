"""Official checkpoint files: what comes back is what was there, and nothing else comes in."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlhf_core.official import load_official, model_from, save_official
from rlhf_core.rwkv.model import RWKV
from rlhf_core.rwkv4.model import RWKV4
from tests.unit.rlhf_core.builders import are_equal, tiny_policy, weights_of
from tests.unit.rlhf_core.rwkv4.setting import tiny_rwkv4

Tensors = dict[str, Tensor]
MODELS: dict[str, Callable[[], RWKV | RWKV4]] = {"rwkv7": tiny_policy, "rwkv4": tiny_rwkv4}
IDS = torch.tensor([[2, 3, 4, 5, 6, 7]])


def rwkv7() -> Tensors:
    return weights_of(tiny_policy())


def rwkv4() -> Tensors:
    return weights_of(tiny_rwkv4())


def without(tensors: Tensors, part: str) -> Tensors:
    return {name: x for name, x in tensors.items() if part not in name}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("family", MODELS)
def test_a_saved_model_comes_back(tmp_path: Path, family: str, suffix: str) -> None:
    # Guards: a size or rank that is guessed instead of read.
    path = tmp_path / f"model{suffix}"
    model = MODELS[family]()
    save_official(model, path)
    loaded = load_official(path)
    assert type(loaded) is type(model)
    assert loaded.config == type(model.config)(
        **{f: getattr(model.config, f) for f in model.config.__slots__ if f != "chunk_size"}
    )
    assert are_equal(weights_of(loaded), weights_of(model))
    assert not loaded.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in loaded.parameters())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_equal_weights_give_equal_bytes(tmp_path: Path, suffix: str) -> None:
    # Guards: the name of a temporary file, or a time, inside the file.
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    save_official(tiny_policy(), first)
    save_official(load_official(first), second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_is_widened_exactly(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    # Guards: a model that computes in the dtype of its file.
    tensors = {name: x.to(dtype) for name, x in weights_of(MODELS[family]()).items()}
    torch.save(tensors, tmp_path / "half.pth")
    loaded = load_official(tmp_path / "half.pth")
    assert are_equal(weights_of(loaded), {name: x.float() for name, x in tensors.items()})
    assert loaded(IDS)[0].dtype == torch.float32


@pytest.mark.parametrize("tensors", [rwkv7(), rwkv4()], ids=["rwkv7", "rwkv4"])
def test_form_and_order_of_the_file_do_not_matter(tensors: Tensors) -> None:
    # Guards: vectors of another form, another order of names: both are found in released files.
    expected = model_from(tensors)
    flat = {n: x.flatten() if 1 in x.shape else x for n, x in reversed(tensors.items())}
    spread = {n: x.view(1, 1, -1) if x.ndim == 1 else x for n, x in tensors.items()}
    parameters = {n: nn.Parameter(x) for n, x in tensors.items()}
    for form in (flat, spread, parameters):
        assert are_equal(weights_of(model_from(form)), weights_of(expected))


def test_value_residual_of_the_first_layer_is_ignored() -> None:
    # Guards: a refusal of the files that bring it, or code that reads it.
    extra = {f"blocks.0.att.v{i}": torch.full((3,), torch.nan) for i in range(3)}
    assert are_equal(weights_of(model_from(rwkv7() | extra)), rwkv7())


def test_loading_copies(tmp_path: Path) -> None:
    # Guards: a model whose memory is the file, or the tensors of the caller.
    tensors = rwkv7()
    model = model_from(tensors)
    path = tmp_path / "model.pth"
    save_official(model, path)
    loaded = load_official(path)
    with torch.no_grad():
        for parameter in (*model.parameters(), *loaded.parameters()):
            parameter.zero_()
    assert are_equal(tensors, rwkv7())
    assert are_equal(weights_of(load_official(path)), tensors)


def deep_embed() -> Tensors:
    return rwkv7() | {"blocks.0.ffn.s_emb.weight": torch.zeros(11, 4)}


def rwkv6() -> Tensors:
    return without(rwkv7(), ".att.") | {
        "blocks.0.att.time_maa_x": torch.zeros(16),
        "blocks.0.att.time_faaaa": torch.zeros(2, 8),
        "blocks.0.att.ln_x.weight": torch.zeros(16),
    }


def rwkv5() -> Tensors:
    return rwkv4() | {"blocks.0.att.ln_x.weight": torch.zeros(16)}


def of_transformers() -> Tensors:
    return {f"rwkv.{name.replace('.att.', '.attention.')}": x for name, x in rwkv4().items()}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (deep_embed(), "RWKV-7a or 7b"),
        (rwkv6(), "this is RWKV-6"),
        (rwkv5(), "this is RWKV-5"),
        (rwkv5() | {"blocks.0.att.time_faaaa": torch.zeros(2, 8)}, "this is RWKV-5.2"),
        (of_transformers(), "layout of transformers"),
        ({"model.layers.0.attn.r_k": torch.zeros(2, 8)}, "layout of transformers"),
        ({"wte.weight": torch.zeros(4, 4)}, "no RWKV checkpoint: it has wte.weight"),
        ({}, "no RWKV checkpoint"),
        (without(rwkv7(), "blocks.1.att.w1"), r"missing: blocks\.1\.att\.w1"),
        (without(rwkv7(), "head"), r"11 tokens.*missing: head\.weight"),
        (without(rwkv7(), "emb"), r"missing: emb\.weight"),
        (without(rwkv4(), "blocks.0."), "blocks are missing"),
        (without(rwkv4(), "blocks.1."), "num_layers is 1"),
        (rwkv7() | {"blocks.0.att.time_state": torch.zeros(2)}, r"surplus: .*time_state"),
        (rwkv4() | {"blocks.0.tiny_ln.weight": torch.zeros(16)}, r"surplus: .*tiny_ln"),
        (rwkv7() | {"head.weight": torch.zeros(16, 11)}, r"head\.weight is \(16, 11\), not"),
        (rwkv7() | {"ln_out.bias": torch.zeros(15)}, r"ln_out\.bias is \(15,\), not \(16,\)"),
        (rwkv7() | {"emb.weight": torch.zeros(11)}, r"emb\.weight is \(11,\), no matrix"),
        (rwkv7() | {"ln_out.bias": torch.full((16,), torch.inf)}, r"infinite: ln_out\.bias"),
        (rwkv4() | {"emb.weight": torch.full((11, 16), torch.nan)}, r"NaN.*emb\.weight"),
        (rwkv4() | {"ln_out.bias": torch.zeros(16).long()}, r"ln_out\.bias is torch\.int64"),
        (rwkv4() | {"ln_out.bias": torch.zeros(16).double()}, r"ln_out\.bias is torch\.float64"),
    ],
)
def test_other_tensors_are_refused_by_name(tensors: Tensors, message: str) -> None:
    # Guards: a checkpoint that almost fits and gives fluent nonsense.
    with pytest.raises(ValueError, match=message):
        model_from(tensors)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    # Guards: a traceback, or half a model, after a broken download.
    path = tmp_path / f"model{suffix}"
    save_official(tiny_policy(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="cut short"):
        load_official(path)


class Malicious:
    """What a pickle with code in it is made of."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.flag,))


@pytest.mark.parametrize("value", ["code", "module", "list", "training", "number"])
def test_a_pickle_of_anything_else_is_refused_and_not_run(tmp_path: Path, value: str) -> None:
    # Guards: a downloaded checkpoint that runs code.
    flag, path = tmp_path / "flag", tmp_path / "model.pth"
    weights = rwkv7()
    values = {
        "code": weights | {"emb.weight": Malicious(flag)},
        "module": tiny_policy(),
        "list": list(weights.values()),
        "training": {"model": weights, "step": 3},
        "number": weights | {0: torch.zeros(1)},
    }
    torch.save(values[value], path)
    with pytest.raises(ValueError, match=r"model\.pth: .*(something else|nothing else)"):
        load_official(path)
    assert not flag.exists()
    if value == "code":  # it would have run
        torch.load(path, weights_only=False)
        assert flag.exists()


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04 not really", b"\x80\x04N."])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    # Guards: the unpickler's own words, which advise to switch its protection off.
    for suffix in (".pth", ".safetensors"):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cut short") as refusal:
            load_official(path)
        assert "weights_only" not in str(refusal.value)


def test_any_other_zip_is_refused(tmp_path: Path) -> None:
    # Guards: a traceback from inside torch.
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="nothing of it was run"):
        load_official(path)


def test_a_safetensors_header_that_lies_is_refused(tmp_path: Path) -> None:
    # Guards: a size that is believed before it is checked.
    path = tmp_path / "model.safetensors"
    save_file(rwkv7(), path)
    content = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 1 << 60) + content[8:])
    with pytest.raises(ValueError, match="no safetensors file"):
        load_official(path)


@pytest.mark.parametrize("name", ["model.bin", "model", "model.gguf"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    # Guards: a format that is guessed.
    with pytest.raises(ValueError, match=r"it must be \.pth or \.safetensors"):
        save_official(tiny_policy(), tmp_path / name)
    with pytest.raises(ValueError, match=r"it must be \.pth or \.safetensors"):
        load_official(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    # Guards: "cut short" for a path with a typing error.
    for suffix in (".pth", ".safetensors"):
        with pytest.raises(FileNotFoundError):
            load_official(tmp_path / f"model{suffix}")


@torch.no_grad()
def test_a_model_that_nobody_could_load_is_not_saved(tmp_path: Path) -> None:
    # Guards: a reward model's trunk, or diverged weights, found out months later.
    path = tmp_path / "model.pth"
    trunk = tiny_policy().trunk()
    assert isinstance(trunk, RWKV)
    with pytest.raises(ValueError, match=r"missing: head\.weight"):
        save_official(trunk, path)
    broken = tiny_rwkv4()
    broken.head.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"NaN.*head\.weight"):
        save_official(broken, path)
    assert not path.exists()


def test_a_saved_file_holds_plain_tensors(tmp_path: Path) -> None:
    # Guards: a file that only a program with our classes can read.
    for suffix, read in (
        (".pth", lambda p: torch.load(p, weights_only=True)),
        (".safetensors", load_file),
    ):
        path = tmp_path / f"model{suffix}"
        save_official(tiny_policy(dtype=torch.float64), path)
        found = read(path)
        assert type(found) is dict
        assert {type(x) for x in found.values()} == {torch.Tensor}
        assert {x.dtype for x in found.values()} == {torch.float32}
