"""A causal language model of transformers: continues texts, and rewrites captions by wishes without a server."""

from collections.abc import Sequence
from typing import Any

import torch

from adapters.composed.rewriting import first_line, rewrite_messages
from e2.errors import InputError


class LanguageModel:
    """Any causal model of transformers.

    Args:
        name: a local folder, or a name on the hub (may download).
        device: where it runs.
        batch_size: texts at a time.

    Raises:
        InputError: it cannot be loaded.
    """

    def __init__(self, name: str, *, device: str = "cpu", batch_size: int = 8):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(name, padding_side="left")
            self.model = AutoModelForCausalLM.from_pretrained(name).eval().to(device)
        except (OSError, ValueError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"cannot load language model {name!r}: {reason}; give a local folder or a name on the hub"
            ) from error
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.name, self.device, self.batch_size = name, device, batch_size

    @property
    def info(self) -> dict[str, str]:
        return {"rewriter": "transformers", "model": self.name}

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> list[str]:
        """N captions and N wishes -> N captions of what is wanted; greedy, so the same each time."""
        prompts = [self._prompt(caption, wish) for caption, wish in zip(captions, wishes, strict=True)]
        answers = [first_line(texts[0]) for texts in self.continue_texts(prompts, new_tokens=60)]
        return [answer or f"{caption}, {wish}" for answer, caption, wish in zip(answers, captions, wishes, strict=True)]

    def _prompt(self, caption: str, wish: str) -> str:
        messages = rewrite_messages(caption, wish)
        if self.tokenizer.chat_template:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return "\n".join(message["content"] for message in messages) + "\nNew caption:"

    @torch.inference_mode()
    def continue_texts(
        self, texts: Sequence[str], *, count: int = 1, new_tokens: int = 60, temperature: float = 0.0, seed: int = 0
    ) -> list[list[str]]:
        """``count`` continuations of each text; temperature 0 = greedy (then they are all the same)."""
        options: dict[str, Any] = {"do_sample": temperature > 0, "num_return_sequences": count if temperature > 0 else 1}
        if temperature > 0:
            options["temperature"] = temperature
        found: list[list[str]] = []
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for start in range(0, len(texts), self.batch_size):
                batch = list(texts[start : start + self.batch_size])
                inputs = self.tokenizer(batch, return_tensors="pt", padding=True).to(self.device)
                pad = self.tokenizer.pad_token_id
                ids = self.model.generate(**inputs, max_new_tokens=new_tokens, pad_token_id=pad, **options)
                new = self.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
                each = len(new) // len(batch)
                found += [[text.strip() for text in new[i * each : (i + 1) * each]] for i in range(len(batch))]
        return found
