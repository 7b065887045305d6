"""Official checkpoints of RWKV-7 and RWKV-4: .pth (torch.save) and .safetensors, read and written.

Sizes come from the tensors' shapes, never from formulas: released files differ in their low-rank
widths. Vectors may be [1, 1, C] or [C]. Layer 0 of RWKV-7 may bring v0, v1 and v2, which no code
reads. Weights become float32. Everything else that is not as expected is refused by name, since a
checkpoint that almost fits gives fluent nonsense.

A .pth is a pickle. It is read by PyTorch's restricted unpickler, which builds tensors and nothing
else; it is written as a plain dict of tensors, as the `rwkv` package reads it.

Omitted on purpose: RWKV-5 and 6, DeepEmbed (7a, 7b), tuned states, files in several parts, folders
of transformers, quantised weights.

References:
    [1] BlinkDL/RWKV-LM: RWKV-v7/rwkv_v7_demo.py, RWKV-v4neo/src/model.py.
    [2] The `rwkv` package: its loader is what our files are tested against.
"""

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.model import RWKV
from rlhf_core.rwkv4.config import RWKV4Config
from rlhf_core.rwkv4.model import RWKV4

Tensors: TypeAlias = Mapping[str, Tensor]

SUFFIXES = (".pth", ".safetensors")
READ_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
NEVER_READ = {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"}
# What the names of a variant contain; the first that matches decides.
SIGNS = (
    (".ffn.s_emb", "RWKV-7a or 7b (DeepEmbed)"),
    (".att.time_maa", "RWKV-6"),
    (".att.r_k", "RWKV-7"),
    (".att.time_faaaa", "RWKV-5.2"),
    (".att.ln_x", "RWKV-5"),
    (".att.time_first", "RWKV-4"),
    ("rwkv.blocks.", "RWKV-4 in the layout of transformers"),
    ("model.layers.", "a model in the layout of transformers"),
)


def load_official(path: Path) -> RWKV | RWKV4:
    """The model in a checkpoint file, float32, on the CPU, in eval mode.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut short, holds anything but tensors, is of another variant, lacks
            or adds tensors, or has weights that are not finite; the message names what was found.
    """
    try:
        return model_from(_read(path)).eval()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def save_official(model: RWKV | RWKV4, path: Path) -> None:
    """Write a model as a checkpoint file; the suffix decides the format.

    Raises:
        ValueError: If the suffix is unknown, or the model is one that nobody could load: a trunk
            without its head, weights that are not finite.
    """
    state = model.state_dict()
    tensors = {name: t.detach().to("cpu", torch.float32).contiguous() for name, t in state.items()}
    _refuse_faults(tensors, _described(tensors))
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    elif path.suffix == ".pth":
        with path.open("wb") as stream:
            torch.save(tensors, stream)
    else:
        raise ValueError(f"{path}: {_suffix_message(path)}")


def model_from(tensors: Tensors) -> RWKV | RWKV4:
    """The model that tensors with official names describe; they are copied.

    Raises:
        ValueError: As `load_official`.
    """
    model = _described(tensors)
    _refuse_faults(tensors, model)
    state = {
        name: tensors[name].detach().to(torch.float32, copy=True).reshape(wanted.shape).contiguous()
        for name, wanted in model.state_dict().items()
    }
    model.load_state_dict(state, assign=True)
    return model


def _read(path: Path) -> Tensors:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"no safetensors file, or cut short ({error})") from error
    if path.suffix == ".pth":
        return _read_pth(path)
    raise ValueError(_suffix_message(path))


def _read_pth(path: Path) -> Tensors:
    with path.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError("no file of torch.save, or cut short")
    try:
        found: Any = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:
        raise ValueError(
            "it holds something else than tensors, or is damaged. Reading anything but tensors "
            "could run code from the file, so it is refused; nothing of it was run"
        ) from error
    others: list[object] = [f"a {type(found).__name__}"]
    if isinstance(found, dict):
        others = [n for n, x in found.items() if not (isinstance(n, str) and isinstance(x, Tensor))]
    if others:
        raise ValueError(
            f"expected tensors by name and nothing else, found {_listed(others)}. A file of a "
            "whole training has the weights inside; save those alone"
        )
    return found


def _described(tensors: Tensors) -> RWKV | RWKV4:
    """The model of these sizes, without memory for its weights."""
    variant = next((v for sign, v in SIGNS if any(sign in name for name in tensors)), None)
    if variant not in ("RWKV-7", "RWKV-4"):
        found = f"this is {variant}" if variant else "this is no RWKV checkpoint"
        raise ValueError(f"{found}: it has {_listed(tensors)}. RWKV-7 and RWKV-4 are read")
    vocab_size, dim = _shape(tensors, "emb.weight")
    layers = {int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d{1,9})\.", name))}
    if layers != set(range(len(layers))):
        raise ValueError(
            f"blocks are missing; found those of the numbers {_listed(sorted(layers))}"
        )
    sizes = {"vocab_size": vocab_size, "dim": dim, "num_layers": len(layers)}
    with torch.device("meta"):
        if variant == "RWKV-4":
            width, _ = _shape(tensors, "blocks.0.ffn.key.weight")
            return RWKV4(RWKV4Config(**sizes, ffn_dim=width))
        return RWKV(
            RWKVConfig(
                **sizes,
                head_size=_shape(tensors, "blocks.0.att.r_k")[1],
                decay_rank=_shape(tensors, "blocks.0.att.w1")[1],
                rate_rank=_shape(tensors, "blocks.0.att.a1")[1],
                value_rank=_shape(tensors, "blocks.1.att.v1")[1],
                gate_rank=_shape(tensors, "blocks.0.att.g1")[1],
            )
        )


def _refuse_faults(tensors: Tensors, model: RWKV | RWKV4) -> None:
    """Raise ValueError where `tensors` are not exactly the parameters of `model`."""
    wanted = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    faults = []
    if missing := [name for name in wanted if name not in tensors]:
        faults.append(f"missing: {_listed(missing)}")
    if surplus := [name for name in tensors if name not in wanted and name not in NEVER_READ]:
        faults.append(f"surplus: {_listed(surplus)}")
    common = [name for name in wanted if name in tensors]
    if bent := [
        f"{name} is {tuple(tensors[name].shape)}, not {wanted[name]}"
        for name in common
        if _without_ones(tensors[name].shape) != _without_ones(wanted[name])
    ]:
        faults.append(f"wrong shape: {_listed(bent)}")
    if odd := [
        f"{name} is {tensors[name].dtype}"
        for name in common
        if tensors[name].dtype not in READ_DTYPES or tensors[name].layout != torch.strided
    ]:
        faults.append(f"neither float32, bfloat16 nor float16: {_listed(odd)}")
    elif wild := [name for name in common if not bool(tensors[name].isfinite().all())]:
        faults.append(f"NaN or infinite: {_listed(wild)}")
    if faults:
        name, config = "RWKV-4" if isinstance(model, RWKV4) else "RWKV-7", model.config
        sizes = f"{config.num_layers} layers, {config.dim} channels, {config.vocab_size} tokens"
        raise ValueError(f"this is {name} ({sizes}), but not as it should be. {'; '.join(faults)}")


def _shape(tensors: Tensors, name: str) -> tuple[int, int]:
    """The shape of a matrix that says how large the model is."""
    if name not in tensors:
        raise ValueError(f"missing: {name}")
    if tensors[name].ndim != 2:
        raise ValueError(f"wrong shape: {name} is {tuple(tensors[name].shape)}, no matrix")
    rows, columns = tensors[name].shape
    return rows, columns


def _without_ones(shape: Iterable[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _listed(names: Iterable[object], limit: int = 4) -> str:
    every = list(map(str, names))
    rest = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + rest


def _suffix_message(path: Path) -> str:
    return f"the suffix is {path.suffix or 'missing'!r}; it must be {' or '.join(SUFFIXES)}"
