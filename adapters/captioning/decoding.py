"""Decodes captions of many images at once: greedily, by nucleus sampling or by beam search, with a cache.

The beam search is CapDec's, which transformers does not offer: at *every* step hypotheses are ranked by log-probability over
length, and a stopped one stays in the beam with its score. Bans, repeated n-grams, temperature and nucleus use transformers'
own processors.

CapDec's length counts tokens, which favours long names: once *United* is written, *Colors of Benetton* costs next to nothing
and dilutes what *United* has cost. Counted in choices, a token of probability p adds 1 - p to the length, so one without
alternative adds nothing.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from transformers import (
    GPT2Model,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from e2.adapters.captioning.gpt2_steps import GPT2Steps
from e2.adapters.captioning.words import WordLimits
from e2.errors import InputError
from e2.settings import Count, Natural, Positive, Seed, setting, settings

Processors = Any  # a LogitsProcessorList: its hints ask for the tensor types of PyTorch before 0.4

LEAST_LENGTH = 1e-6  # of a text without any choice
SHRINK_AT = 0.75  # finished items are dropped once few others are left: each drop copies the cache


@settings
class Decoding:
    """Options of decoding."""

    beam: Count = setting(1, "hypotheses per image; 1 is greedy")
    max_tokens: Count = setting(77, "maximum length, including the stop token")
    min_words: Natural = setting(0, "fewest words of a caption")
    max_words: Count | None = setting(None, "most words of a caption")
    begin: str = setting("", "words that every caption begins with")
    length_penalty: float = setting(1.0, "hypotheses rank by log-probability / length ** this; 1 is CapDec's")
    length_unit: Literal["choices", "tokens"] = setting(
        "choices", "of that length: tokens are CapDec's; choices count a token of probability p as 1 - p"
    )
    no_repeat_ngram: Natural = setting(0, "n of the n-grams that may not repeat; 0 allows all")
    temperature: Positive = setting(1.0, "divides the logits")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = setting(
        None, "sample from the likeliest tokens of this total probability; null = no sampling"
    )
    seed: Seed = setting(0, "of the sampling")
    rerank: bool = setting(False, "choose among the beams by similarity to the image, not by probability")

    def __post_init__(self) -> None:
        if self.top_p is not None and self.beam > 1:
            raise InputError("top_p samples one caption per image: use it with beam 1")
        if self.rerank and self.beam == 1:
            raise InputError("rerank chooses among beams: use it with beam 2 or more")
        if self.max_words is not None and self.max_words < self.min_words:
            raise InputError(f"max_words {self.max_words} is below min_words {self.min_words}")


@dataclass(frozen=True)
class Hypothesis:
    """One decoded text: its ids, including the stop token if reached, and its log-probability / length ** penalty."""

    ids: list[int]
    score: float


@torch.inference_mode()
def decode(
    model: GPT2Model,
    context: Tensor,
    mask: Tensor | None,
    how: Decoding,
    *,
    stop_id: int,
    banned: tuple[int, ...] = (),
    limits: WordLimits | None = None,
) -> list[list[Hypothesis]]:
    """Continues N contexts.

    Args:
        model: in eval mode.
        context: (N, C, W) input embeddings, padded on the left.
        mask: (N, C) True where real; None: everywhere.
        how: greedy, sampling or beam.
        stop_id: the token that ends a text.
        banned: ids that are never chosen (rows of the vocabulary without a token, padding, unknown).
        limits: on the number of words.

    Returns:
        Hypotheses of each item, best first.
    """
    if mask is None:
        mask = torch.ones(context.shape[:2], dtype=torch.bool, device=context.device)
    if how.beam > model.config.vocab_size - len(banned):
        raise InputError(f"beam {how.beam} is more than the vocabulary's {model.config.vocab_size - len(banned)} tokens")
    room = model.config.n_positions - context.shape[1]
    if how.max_tokens > room:
        raise InputError(
            f"max_tokens {how.max_tokens}: the model has {model.config.n_positions} positions and prefix and prompt take "
            f"{context.shape[1]}; choose at most {max(room, 0)}"
        )
    search = _beam_search if how.beam > 1 else _single
    scorer = _Scorer(_processors(how, banned), limits)
    return search(GPT2Steps(model, context, mask, how.beam, how.max_tokens), how, stop_id, scorer)


def _processors(how: Decoding, banned: tuple[int, ...]) -> Processors:
    processors = LogitsProcessorList()
    if banned:
        processors.append(SuppressTokensLogitsProcessor(list(banned), device="cpu"))
    if how.no_repeat_ngram:
        processors.append(NoRepeatNGramLogitsProcessor(how.no_repeat_ngram))
    if how.temperature != 1:
        processors.append(TemperatureLogitsWarper(float(how.temperature)))
    if how.top_p is not None and how.top_p < 1:
        processors.append(TopPLogitsWarper(how.top_p))
    return processors


@dataclass(frozen=True)
class _Scorer:
    """Makes log-probabilities of logits. What processors ban has no probability; what limits bar keeps its share of it, so
    that a stop which the limit leaves as the only choice costs what it would have cost without."""

    processors: Processors
    limits: WordLimits | None

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        """(R, T) tokens so far, (R, V) logits -> (R, V)."""
        log_p = self.processors(tokens, logits).float().log_softmax(dim=-1)
        return log_p if self.limits is None else log_p.masked_fill(self.limits.barred(tokens), -torch.inf)


def _added_length(log_p: Tensor, how: Decoding) -> Tensor:
    """Length that tokens of these log-probabilities add to a hypothesis."""
    return torch.ones_like(log_p) if how.length_unit == "tokens" else -torch.expm1(log_p)


def _scores(sums: Tensor, lengths: Tensor, how: Decoding) -> Tensor:
    """Log-probability / length ** penalty."""
    return sums / lengths.clamp(min=LEAST_LENGTH) ** how.length_penalty


def _single(state: GPT2Steps, how: Decoding, stop_id: int, scorer: _Scorer) -> list[list[Hypothesis]]:
    """Decodes one hypothesis per item, by the likeliest token or by sampling."""
    logits = state.logits
    device, items = logits.device, len(logits)
    generator = torch.Generator(device=device).manual_seed(how.seed)
    # Each item draws from its own row of random numbers, independent of the rest of the batch.
    draws = None if how.top_p is None else torch.rand(items, how.max_tokens, generator=generator, device=device)
    tokens = torch.zeros(items, 0, dtype=torch.long, device=device)
    sums, lengths = torch.zeros(items, device=device), torch.zeros(items, device=device)
    running = torch.arange(items, device=device)
    ended = torch.zeros(items, dtype=torch.bool, device=device)
    found: list[list[Hypothesis]] = [[] for _ in range(items)]
    for step in range(how.max_tokens):
        log_p = scorer(tokens, logits)
        chosen = log_p.argmax(dim=-1) if draws is None else _drawn(log_p, draws[running, step])
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        cost = log_p.gather(1, chosen[:, None])[:, 0]
        sums, lengths = sums + cost, lengths + _added_length(cost, how)
        scores = _scores(sums, lengths, how)
        last = step + 1 == how.max_tokens
        for row in torch.nonzero(~ended & (chosen.eq(stop_id) | last))[:, 0].tolist():
            found[running[row]] = [Hypothesis(tokens[row].tolist(), scores[row].item())]
        ended = ended | chosen.eq(stop_id)
        if last or bool(ended.all()):
            break
        if (~ended).sum() <= SHRINK_AT * len(ended):
            rows = torch.nonzero(~ended)[:, 0]
            state.keep(rows)
            tokens, sums, lengths, running, ended = (t[rows] for t in (tokens, sums, lengths, running, ended))
        logits = state.advance(tokens[:, -1:])[:, 0]
    return found


def _drawn(log_p: Tensor, draws: Tensor) -> Tensor:
    """Samples one token per row by inverting the cumulative distribution: (N, V), (N,) in 0..1 -> (N,)."""
    cumulative = log_p.exp().cumsum(dim=-1)
    token = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True)[:, 0]
    last = (
        log_p.shape[1] - 1 - log_p.isfinite().int().flip(1).argmax(dim=1)
    )  # rounding must not reach a token of probability zero
    return torch.minimum(token, last)


def _beam_search(state: GPT2Steps, how: Decoding, stop_id: int, scorer: _Scorer) -> list[list[Hypothesis]]:
    """Searches with B hypotheses per item, ranked at each step by sum / length ** penalty."""
    beams = how.beam
    log_p = scorer(state.logits.new_zeros(len(state.logits), 0, dtype=torch.long), state.logits)
    sums, first = log_p.topk(beams, dim=-1)  # (N, B)
    tokens = first[:, :, None]  # (N, B, 1)
    lengths, sizes, stopped = _added_length(sums, how), torch.ones_like(first), first.eq(stop_id)
    running = torch.arange(len(sums), device=sums.device)
    found: list[list[Hypothesis]] = [[] for _ in range(len(sums))]
    while True:
        over = stopped.all(dim=1) | (tokens.shape[2] >= how.max_tokens)
        for row in torch.nonzero(over)[:, 0].tolist():
            scores = _scores(sums[row], lengths[row], how)
            found[running[row]] = found[running[row]] or _ranked(tokens[row], sizes[row], scores)
        if bool(over.all()):
            return found
        if (~over).sum() <= SHRINK_AT * len(over):
            rows = torch.nonzero(~over)[:, 0]
            state.keep(rows)
            tokens, sums, lengths, sizes = (t[rows] for t in (tokens, sums, lengths, sizes))
            stopped, running = stopped[rows], running[rows]
        logits = state.advance(tokens[:, :, -1])
        candidates, next_tokens = _continuations(logits, tokens, stopped, scorer)
        totals = sums[:, :, None] + candidates  # (N, B, B)
        longer = lengths[:, :, None] + _added_length(candidates, how) * ~stopped[:, :, None]
        best = _scores(totals, longer, how).flatten(1).topk(beams, dim=-1).indices  # (N, B)
        parents = best // beams
        sums, lengths = totals.flatten(1).gather(1, best), longer.flatten(1).gather(1, best)
        sizes = (sizes + ~stopped).gather(1, parents)
        following = next_tokens.flatten(1).gather(1, best)
        tokens = tokens.gather(1, parents[:, :, None].expand_as(tokens))
        tokens = torch.cat([tokens, following[:, :, None]], dim=2)
        stopped = stopped.gather(1, parents) | following.eq(stop_id)
        state.follow(parents)


def _continuations(logits: Tensor, tokens: Tensor, stopped: Tensor, scorer: _Scorer) -> tuple[Tensor, Tensor]:
    """Finds the B best next tokens of each hypothesis, all that a beam of B can need.

    A stopped hypothesis has one continuation: token 0 at no cost, removed at the end.

    Returns:
        Log-probabilities and ids, each (N, B, B).
    """
    items, beams, _ = logits.shape
    top, ids = scorer(tokens.flatten(0, 1), logits.flatten(0, 1)).topk(beams, dim=-1)
    log_p, ids = top.unflatten(0, (items, beams)), ids.unflatten(0, (items, beams))
    free = torch.full((beams,), -torch.inf, device=logits.device)
    free[0] = 0
    ended = stopped[:, :, None]
    return torch.where(ended, free, log_p), torch.where(ended, 0, ids)


def _ranked(tokens: Tensor, sizes: Tensor, scores: Tensor) -> list[Hypothesis]:
    """Ranks the beam of one item, best first, each hypothesis cut to its number of tokens."""
    return [
        Hypothesis(tokens[beam, : int(sizes[beam])].tolist(), scores[beam].item())
        for beam in scores.argsort(descending=True, stable=True).tolist()
    ]
