"""Continues texts, and rewrites captions by wishes, with a causal language model of transformers, without a server."""

from collections.abc import Sequence
from typing import Any

import torch

from e2.adapters.composed.answers import read_caption
from e2.adapters.composed.reasoning import NoCaption
from e2.adapters.composed.rewriting import Rewriting, answered, failed, rewrite_messages
from e2.errors import InputError, first_line

MAX_TOKENS = 120  # of an answer, including reasoning


class LanguageModel:
    """Any causal model of transformers.

    Args:
        name: a local folder, or a name on the hub (may download).
        batch_size: texts at a time.
    """

    def __init__(self, name: str, *, batch_size: int = 8):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(name, padding_side="left")
            self.model = AutoModelForCausalLM.from_pretrained(name).eval()
        except (OSError, ValueError) as error:
            reason = first_line(error)
            raise InputError(f"cannot load language model {name!r}: {reason}; give a folder or a name on the hub") from error
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.name, self.batch_size = name, batch_size

    @property
    def info(self) -> dict[str, str]:
        return {"rewriter": "transformers", "model": self.name}

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> list[Rewriting]:
        """Rewrites N captions by N wishes; greedy, so deterministic."""
        pairs = list(zip(captions, wishes, strict=True))
        answers = self._generate([self._prompt(*pair) for pair in pairs], MAX_TOKENS, {"do_sample": False})
        return [_rewriting(answer, cut, *pair) for (answer, cut), pair in zip(answers, pairs, strict=True)]

    def _prompt(self, caption: str, wish: str) -> str:
        messages = rewrite_messages(caption, wish)
        if self.tokenizer.chat_template:
            options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
            return self.tokenizer.apply_chat_template(messages, **options)
        return "\n".join(message["content"] for message in messages) + "\nNew caption:"

    def continue_texts(
        self, texts: Sequence[str], *, count: int = 1, new_tokens: int = 60, temperature: float = 0.0, seed: int = 0
    ) -> list[list[str]]:
        """Generates ``count`` continuations of each text; temperature 0 = greedy (then only one)."""
        options: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            options = {"do_sample": True, "num_return_sequences": count, "temperature": temperature}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            found = [text for text, _ in self._generate(texts, new_tokens, options)]
        each = len(found) // max(1, len(texts))
        return [found[i * each : (i + 1) * each] for i in range(len(texts))]

    @torch.inference_mode()
    def _generate(self, texts: Sequence[str], new_tokens: int, options: dict[str, Any]) -> list[tuple[str, bool]]:
        """Generates continuations, those of one text together, and flags those cut off."""
        found: list[tuple[str, bool]] = []
        ends = torch.tensor([self.tokenizer.eos_token_id, self.tokenizer.pad_token_id])
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start : start + self.batch_size])
            inputs = self.tokenizer(batch, return_tensors="pt", padding=True)
            pad = self.tokenizer.pad_token_id
            ids = self.model.generate(**inputs, max_new_tokens=new_tokens, pad_token_id=pad, **options)
            new = ids[:, inputs["input_ids"].shape[1] :]
            cut = ~torch.isin(new, ends).any(dim=1)
            found += zip(map(str.strip, self.tokenizer.batch_decode(new, skip_special_tokens=True)), cut.tolist(), strict=True)
        return found


def _rewriting(answer: str, cut: bool, caption: str, wish: str) -> Rewriting:
    try:
        return answered(caption, read_caption(answer, caption, wish, cut=cut))
    except NoCaption as error:
        return failed(caption, wish, str(error))
