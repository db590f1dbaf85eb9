"""Caption decoder of both methods: a mapper makes the prefix, GPT-2 continues it."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import GPT2Config, GPT2Model

from e2.adapters.captioning.config import CaptionerConfig
from e2.adapters.captioning.mappers import make_mapper
from e2.adapters.captioning.tokenizers import Tokenizer
from e2.errors import InputError, first_line

IGNORED = -100  # label of a position that is not learned


class CaptionModel(nn.Module):
    """Decodes a caption from an embedding and a prompt.

    Args:
        mapper: (B, D) -> (B, P, W).
        language_model: GPT-2 of width W, without its head, which is the transposed input embedding.
    """

    def __init__(self, mapper: nn.Module, language_model: GPT2Model):
        super().__init__()
        self.mapper, self.language_model = mapper, language_model

    def forward(self, features: Tensor, tokens: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Computes the mean cross-entropy of the labels.

        Args:
            features: (B, D).
            tokens: (B, L) prompt and caption, padded on the right by any id, which a causal model never sees.
            labels: (B, L) tokens to learn, `IGNORED` elsewhere.
        """
        hidden = self._hidden(features, tokens)
        learned = labels != IGNORED
        logits = self._scores(hidden[learned])  # only at labels: the vocabulary is the widest layer
        return F.cross_entropy(logits.float(), labels[learned], label_smoothing=label_smoothing)

    def logits(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Predicts each token from those before it: (B, L, V) logits."""
        return self._scores(self._hidden(features, tokens))

    def context(self, features: Tensor, prompts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """Context for decoding: embeddings (B, C, W) padded on the left, and mask (B, C) of the real ones."""
        prefix = self.mapper(features)
        ids = pad_sequence([torch.tensor(p[::-1], dtype=torch.long) for p in prompts], batch_first=True).flip(1)
        lengths = torch.tensor([len(p) for p in prompts])
        real = torch.arange(ids.shape[1]).flip(0) < lengths[:, None]
        prompt = self.language_model.wte(ids.to(features.device))
        context, mask = torch.cat([prefix, prompt], dim=1), torch.cat([torch.ones(prefix.shape[:2]).bool(), real], dim=1)
        # The prefix directly precedes its prompt, so padding goes before both.
        order = mask.int().argsort(dim=1, stable=True)
        index = order.to(features.device)[:, :, None].expand_as(context)
        return context.gather(1, index), mask.gather(1, order).to(features.device)

    def _scores(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.language_model.wte.weight)  # input and output embeddings are tied in GPT-2

    def _hidden(self, features: Tensor, tokens: Tensor) -> Tensor:
        prefix = self.mapper(features)
        embedded = torch.cat([prefix, self.language_model.wte(tokens)], dim=1)
        hidden = self.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        return hidden[:, prefix.shape[1] - 1 : -1]


def build_model(config: CaptionerConfig, features: int, tokenizer: Tokenizer, language_model: GPT2Model) -> CaptionModel:
    """Builds the mapper for an encoder of D ``features`` and joins it to a language model."""
    width = language_model.config.n_embd
    heads = 8 if width % 8 == 0 else language_model.config.n_head
    mapper = make_mapper(config.mapper, features, width, config.prefix_length, layers=config.mapper_layers, heads=heads)
    if tokenizer.vocab_size > language_model.config.vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the language model {language_model.config.vocab_size}: "
            "they do not belong together"
        )
    return CaptionModel(mapper, language_model)


def new_language_model(config: CaptionerConfig, tokenizer: Tokenizer, longest_prompt: int) -> GPT2Model:
    """Makes a small GPT-2 with random weights."""
    return GPT2Model(
        GPT2Config(
            vocab_size=tokenizer.vocab_size,
            n_positions=config.prefix_length + longest_prompt + config.max_tokens,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            activation_function="gelu_pytorch_tanh",  # GPT-2's, in one kernel
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            bos_token_id=tokenizer.stop_id,
            eos_token_id=tokenizer.stop_id,
        )
    )


def pretrained_language_model(source: str) -> GPT2Model:
    """Loads GPT-2 from a local folder (safetensors) or else from the hub or its cache."""
    try:
        if Path(source).is_dir() and json.loads((Path(source) / "config.json").read_text()).get("model_type") != "gpt2":
            raise InputError(f"{source} holds no GPT-2; --language-model takes a folder of GPT2LMHeadModel.save_pretrained")
        model = GPT2Model.from_pretrained(source, use_safetensors=True).float()
    except InputError:
        raise
    except Exception as error:  # transformers, the hub client and safetensors raise many kinds; each means: not available
        raise InputError(
            f"no language model {source!r}: {first_line(error)}; give a local GPT-2 folder or a hub name"
        ) from error
    if not model.config.tie_word_embeddings:
        raise InputError(f"{source} has an output layer of its own; only GPT-2 with tied embeddings is supported")
    if model.config.scale_attn_by_inverse_layer_idx or not model.config.scale_attn_weights:
        raise InputError(f"{source} scales its attention unlike GPT-2, which decoding does not support")
    return model
