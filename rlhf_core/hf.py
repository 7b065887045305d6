"""Causal language models of transformers as backbones: GPT-2, Llama, Qwen, GPT-NeoX and their like.

Batches are right-padded and go on from a key/value cache, so the cache has columns that are no
token of a row. The state therefore knows which columns are real, and each row counts its positions
by its own tokens. Attention reads the real columns in their order: a padded batch, continued, gives
what each sequence gives alone.

Dropout is off: the ratios of PPO compare two forward passes of one policy.

Omitted on purpose: what cannot be had exactly is refused at construction (encoder-decoders, models
that change their logits behind the head, sliding-window and recurrent caches), quantised weights,
code from a model's folder, half precision. What transformers itself computes in float32 whatever
the dtype, as the norms of Llama and its like, stays as it is.

Shapes: B batch, T tokens, S columns of the cache, C channels, V vocabulary.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rlhf_core.backbones import Backbone
from rlhf_core.collate import is_within

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel

NEEDED = ("inputs_embeds", "attention_mask", "position_ids", "past_key_values", "use_cache")
# What a model may do to its logits after the head; None and 1 mean that it does not.
LOGIT_CHANGES = ("final_logit_softcapping", "logits_soft_cap", "logit_scale", "logits_scaling")


class KeyValueState(NamedTuple):
    """A transformer's cache over right-padded rows.

    Attributes:
        keys: Of each layer, (B, heads, S, head size).
        values: Likewise.
        is_real: True at the columns that are tokens of the row, bool (B, S); None if all are.
        lengths: Real tokens of each row, int64 (B,).
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    is_real: Tensor | None
    lengths: Tensor

    def select(self, rows: Tensor) -> "KeyValueState":
        """The caches of the given batch rows (int64 indices, repeats allowed)."""
        return self._each(lambda x: x.index_select(0, rows))

    def repeat(self, num_copies: int) -> "KeyValueState":
        """Each row `num_copies` times in a row: a prompt's cache forked for K responses."""
        return self._each(lambda x: x.repeat_interleave(num_copies, dim=0))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "KeyValueState":
        return KeyValueState(
            tuple(map(change, self.keys)),
            tuple(map(change, self.values)),
            None if self.is_real is None else change(self.is_real),
            change(self.lengths),
        )


class TiedHead(nn.Module):
    """A vocabulary head whose weight is that of the token embedding."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self._embedding = [embedding]  # in a list, so that its weight is not registered twice

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., C) to logits (..., V)."""
        return linear(hidden, self._embedding[0].weight)  # type: ignore[arg-type]


class TransformersBackbone(Backbone):
    """A causal language model of transformers, taken apart into body and vocabulary head."""

    def __init__(self, model: "PreTrainedModel") -> None:
        """Take over the modules of `model`.

        Raises:
            ValueError: If body, cache and head do not give the model's own logits; names why.
        """
        super().__init__()
        refuse_known(model)
        head: Any = model.get_output_embeddings()
        self.body: Any = model.base_model
        embedding = self.body.get_input_embeddings()
        is_tied = head.weight is embedding.weight
        if is_tied and getattr(head, "bias", None) is not None:
            raise _refusal(model, "its head has the embedding's weight and a bias of its own")
        self.head = TiedHead(embedding) if is_tied else head
        # Names of the parts in a checkpoint of transformers.
        self.model_class = type(model).__name__
        self.body_name = model.base_model_prefix
        self.head_name = next(name for name, part in model.named_modules() if part is head)
        refuse_unequal(self.train(mode=False), model.eval())
        fuse_gelu(self.body)

    @property
    def dim(self) -> int:
        """Channels of a hidden state."""
        return int(self.body.config.hidden_size)

    @property
    def vocab_size(self) -> int:
        """Rows of the token embedding; a tokenizer may have fewer tokens."""
        return int(self.body.get_input_embeddings().num_embeddings)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - as nn.Module
        """As any module, but the body stays in eval mode, in which no dropout is on."""
        super().train(mode)
        self.body.eval()
        return self

    def encode(
        self,
        ids_BT: Tensor,
        lengths_B: Tensor | None = None,
        state: KeyValueState | None = None,
        extra_embedding_BTC: Tensor | None = None,
    ) -> tuple[Tensor, KeyValueState]:
        """As `Backbone.encode`.

        Raises:
            ValueError: If a row would be longer than the positions that the model knows.
        """
        embeddings = self.body.get_input_embeddings()(ids_BT)
        if extra_embedding_BTC is not None:
            embeddings = embeddings + extra_embedding_BTC
        width = ids_BT.shape[1]
        lengths = ids_BT.new_full(ids_BT.shape[:1], width) if lengths_B is None else lengths_B
        past = torch.zeros_like(lengths) if state is None else state.lengths
        # At padding the last real position again: further ones might not exist.
        steps = torch.arange(width, device=ids_BT.device).minimum(lengths.unsqueeze(1) - 1)
        is_new = is_within(lengths, width)
        is_full = lengths_B is None or bool(is_new.all())
        is_real = _real_columns(state, is_new, is_full=is_full)
        cache = _cache_of(state)
        self._check_length(past + lengths, width + cache.get_seq_length())
        # Keeping the cache costs a training pass nothing: autograd holds its tensors anyway.
        output = self.body(
            inputs_embeds=embeddings,
            attention_mask=None if is_real is None else is_real.long(),
            position_ids=past.unsqueeze(1) + steps,
            past_key_values=cache,
            use_cache=True,
        )
        layers: Any = cache.layers
        keys, values = (tuple(getattr(it, name) for it in layers) for name in ("keys", "values"))
        return output.last_hidden_state, KeyValueState(keys, values, is_real, past + lengths)

    def _check_length(self, lengths: Tensor, columns: int) -> None:
        limit = getattr(self.body.config, "max_position_embeddings", None)
        if limit is not None and columns > limit and (longest := int(lengths.max())) > limit:
            raise ValueError(
                f"a sequence of {longest} tokens is longer than the {limit} positions of this "
                "model; lower max_prompt_tokens or max_tokens"
            )


def refuse_known(model: "PreTrainedModel") -> None:
    """Raise ValueError where a model's config or signature says that it cannot serve."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    config: Any = model.config
    if config.is_encoder_decoder:
        raise _refusal(model, "it is an encoder-decoder")
    if model.get_output_embeddings() is None or model.base_model is model:
        raise _refusal(model, "it has no vocabulary head over a body of its own")
    missing = sorted(set(NEEDED) - inspect.signature(model.base_model.forward).parameters.keys())
    if missing:
        raise _refusal(model, f"its body takes no {', '.join(missing)}: no cache that we can carry")
    for name in LOGIT_CHANGES:
        if getattr(config, name, None) not in (None, 1):
            raise _refusal(model, f"it changes its logits after the head ({name})")
    kinds = {type(layer) for layer in DynamicCache(config=config).layers} - {DynamicLayer}
    if kinds:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise _refusal(
            model,
            f"its cache is not one of all keys and values ({names}); a sliding window that no "
            "sequence fills can be switched off in its config.json",
        )


@torch.no_grad()
def refuse_unequal(backbone: TransformersBackbone, model: "PreTrainedModel") -> None:
    """Raise ValueError where `backbone` does not give the logits of `model`, in eval mode both.

    At once, bit for bit; as a padded batch that is continued, up to rounding.
    """
    ids = torch.arange(5, device=backbone.device).remainder(backbone.vocab_size).unsqueeze(0)
    expected = model(input_ids=ids).logits
    hidden, _ = backbone.encode(ids)
    if hidden.shape[-1] != backbone.dim:
        raise _refusal(model, f"hidden_size is {backbone.dim}, its channels {hidden.shape[-1]}")
    found = backbone.head(hidden)
    if found.shape != expected.shape or not torch.equal(found.double(), expected.double()):
        raise _refusal(model, "its logits are not its head applied to its last hidden state")
    lengths = torch.tensor([3, 4], device=ids.device)
    padded = ids.repeat(2, 1).masked_fill(~is_within(lengths, 5), 0)
    _, state = backbone.encode(padded, lengths)
    rest, _ = backbone(ids[:, 3:], None, state.select(torch.zeros_like(lengths[:1])))
    tolerance = min(1000 * torch.finfo(expected.dtype).eps, 0.05)
    error, scale = (rest - expected[:, 3:]).abs().max(), expected.abs().max()
    if not error <= tolerance * scale:
        raise _refusal(model, "a padded batch continued from its cache gives other logits")


def fuse_gelu(body: nn.Module) -> None:
    """Compute GPT-2's GELU by one operation instead of eight; equal up to rounding."""
    from transformers.activations import NewGELUActivation

    for module in list(body.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))


def _real_columns(state: KeyValueState | None, is_new: Tensor, *, is_full: bool) -> Tensor | None:
    """Which columns are tokens after those of `is_new` (B, T), bool (B, S + T); None if all are."""
    before = None if state is None else state.is_real
    if is_full and before is None:
        return None
    if state is None:
        return is_new
    if before is None:
        before = is_new.new_ones(len(is_new), state.keys[0].shape[2])
    return torch.cat([before, is_new], dim=1)


def _cache_of(state: KeyValueState | None) -> "DynamicCache":
    """A cache that begins with the state's tensors, which stay as they are."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache()
    if state is not None:
        for keys, values in zip(state.keys, state.values, strict=True):
            layer = DynamicLayer()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
            cache.layers.append(layer)
    return cache


def _refusal(model: "PreTrainedModel", reason: str) -> ValueError:
    return ValueError(f"{type(model).__name__} cannot be trained here: {reason}")
