"""A trained captioner: an encoder, a mapping to a decoder, and the decoder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from e2.adapters.captioning.config import CaptionerConfig
from e2.adapters.captioning.decoding import Decoding, Hypothesis, decode
from e2.adapters.captioning.memory import nearest, project
from e2.adapters.captioning.model import CaptionModel
from e2.adapters.captioning.prompt import prompt_text
from e2.adapters.captioning.tokenizers import Tokenizer
from e2.adapters.captioning.words import WordLimits
from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import ImageSource
from e2.adapters.tag_reader import TagReader
from e2.counting import counted
from e2.errors import InputError
from e2.settings import from_dict

BATCH_SIZE = 64


@dataclass(eq=False)
class Captioner:
    """Captions photos.

    Attributes:
        encoder: whose embeddings it reads.
        config: all settings.
        info: ``path``, ``weights_sha256``, ``method``, ``text``, ``prompt``, ``paired`` and ``encoder``, for every result.
        model, tokenizer: the decoder; None for ``nearest``.
        memory: (M, D) text embeddings of ``decap`` and ``nearest``.
        memory_texts: M texts of ``nearest``.
        tag_reader: reads the tags of the prompt; None without a prompt.
        training: record of `fit_captioner`: losses, noise, thresholds.
    """

    encoder: Encoder
    config: CaptionerConfig
    model: CaptionModel | None = None
    tokenizer: Tokenizer | None = None
    memory: Tensor | None = None
    memory_texts: Sequence[str] = ()
    tag_reader: TagReader | None = None
    training: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    def caption(self, images: Sequence[ImageSource], *, progress: bool = True, **decoding: Any) -> list[str]:
        """Captions N images (PIL, paths or encoded bytes).

        Args:
            images: any sequence, read lazily.
            progress: show bars.
            decoding: any of `Decoding`: ``beam``, ``max_tokens``, ``no_repeat_ngram``, ``top_p``, ``rerank`` ...

        Raises:
            InputError: an image that cannot be read, or decoding options that do not fit.

        Example:
            >>> load_captioner("runs/decap").caption(["shirt.jpg"], beam=5)
            ['Nike Men Blue T-shirt']
        """
        self.decoding(**decoding)  # refused before photos are read
        return self.caption_features(*self.look(images, progress=progress), **decoding)

    def look(self, images: Sequence[ImageSource], *, progress: bool = True) -> tuple[np.ndarray, np.ndarray | None]:
        """Embeds N images: (N, D) image embeddings, and (N, E, D) region embeddings if captions depend on them."""
        if self.reads_regions:
            return self.encoder.encode_images_and_regions(images, progress=progress)
        return self.encoder.encode_images(images, progress=progress), None

    def caption_features(
        self,
        image_features: np.ndarray,
        region_features: np.ndarray | None = None,
        *,
        tags: Sequence[Mapping[str, str]] | None = None,
        **decoding: Any,
    ) -> list[str]:
        """Captions embeddings of the captioner's encoder.

        Args:
            image_features: (N, D), L2-normalised.
            region_features: (N, E, D), entities in the order of the encoder's ``tags``; used for reading tags.
            tags: N tags to prompt with, instead of those read from the photo.
            decoding: any of `Decoding`.

        Raises:
            InputError: embeddings of another width, or decoding options that do not fit.
        """
        how = self.decoding(**decoding)
        require_finite_features(image_features)
        if tags is None:
            tags = self.read_tags(image_features, region_features)
        return self._captions(image_features, tags, how)

    def decoding(self, **options: Any) -> Decoding:
        """Checks decoding options; the default length is the captioner's own.

        Raises:
            InputError: an unknown option or an invalid value.
        """
        return from_dict(Decoding, {"max_tokens": self.config.max_tokens, **options}, "decoding")

    @property
    def reads_regions(self) -> bool:
        """True if region embeddings change the captions."""
        pooled = self.config.prompt == "entities"
        return self.tag_reader is not None and not pooled and any(e in self.encoder.tags for e in self.tag_reader.vocabulary)

    def read_tags(self, image_features: np.ndarray, region_features: np.ndarray | None = None) -> list[dict[str, str]]:
        """Reads the tags that each photo's prompt will name; empty without a prompt."""
        if self.tag_reader is None:
            return [{} for _ in image_features]
        if self.config.prompt == "entities":
            found = self.tag_reader.read_pooled(image_features)
            return [{str(number): value for number, value in enumerate(values)} for values in found]
        return self.tag_reader.read(image_features, region_features)

    def hypotheses(
        self, image_features: np.ndarray, tags: Sequence[Mapping[str, str]], how: Decoding
    ) -> Iterator[list[Hypothesis]]:
        """Yields all hypotheses of the search for each photo, best first."""
        model, tokenizer = self._decoder()
        model.eval()
        begun = tokenizer.encode(how.begin)
        how = replace(how, max_tokens=max(1, how.max_tokens - len(begun)))
        ids = [[*tokenizer.encode(prompt_text(self.config.prompt, found)), *begun] for found in tags]
        banned = (*tokenizer.banned, *range(tokenizer.vocab_size, model.language_model.config.vocab_size))
        limits = self._limits(how)
        for start in range(0, len(image_features), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            with torch.inference_mode():
                context, mask = model.context(self.conditions(image_features[rows]), ids[rows])
                found = decode(
                    model.language_model, context, mask, how, stop_id=tokenizer.stop_id, banned=banned, limits=limits
                )
            yield from ([replace(h, ids=[*begun, *h.ids]) for h in hypotheses] for hypotheses in found)

    def _limits(self, how: Decoding) -> WordLimits | None:
        if not how.min_words and how.max_words is None:
            return None
        model, tokenizer = self._decoder()
        return WordLimits(
            tokenizer.word_marks(),
            model.language_model.config.vocab_size,
            tokenizer.stop_id,
            least=how.min_words,
            most=how.max_words,
            begun=len(how.begin.split()),
            device=self.encoder.device,
        )

    def _decoder(self) -> tuple[CaptionModel, Tokenizer]:
        """Model and tokenizer, which all methods except ``nearest`` have."""
        assert self.model is not None and self.tokenizer is not None
        return self.model, self.tokenizer

    def conditions(self, image_features: np.ndarray) -> Tensor:
        """Condition of the decoder for N photos: DeCap's projection onto the memory, or else the image embedding as it is.

        Raises:
            InputError: embeddings of another width than the encoder's.
        """
        features = torch.from_numpy(np.ascontiguousarray(image_features, dtype=np.float32)).to(self.encoder.device)
        if self.config.method == "capdec" or self.config.paired:
            return features
        assert self.memory is not None
        return project(features, self.memory, self.config.temperature)

    def _captions(self, image_features: np.ndarray, tags: Sequence[Mapping[str, str]], how: Decoding) -> list[str]:
        if self.config.method == "nearest":
            assert self.memory is not None
            images = torch.from_numpy(np.ascontiguousarray(image_features, dtype=np.float32)).to(self.encoder.device)
            return [self.memory_texts[row] for row in nearest(images, self.memory)]
        captions, (_, tokenizer) = [], self._decoder()
        for row, found in enumerate(self.hypotheses(image_features, tags, how)):
            texts = [tokenizer.decode(h.ids) for h in (found if how.rerank else found[:1])]
            captions.append(texts[0] if len(texts) == 1 else self._most_similar(texts, image_features[row]))
        return captions

    def _most_similar(self, texts: list[str], image: np.ndarray) -> str:
        """Text whose embedding is nearest to the image's."""
        return texts[int(np.argmax(self.encoder.encode_texts(texts, progress=False) @ image))]


def require_finite_features(features: np.ndarray) -> None:
    """Refuses non-finite embeddings, which would still give captions."""
    broken = int((~np.isfinite(features).all(axis=-1)).sum())
    if broken:
        raise InputError(
            f"the embeddings of {broken:,} of {counted(len(features), 'photo')} are not finite; check the encoder"
        )
