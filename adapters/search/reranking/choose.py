"""Makes the re-ranker that a name stands for."""

from collections.abc import Sequence
from dataclasses import fields

from e2.adapters.composed.chat_client import EndpointConfig
from e2.adapters.search.reranking.base import Reranker
from e2.adapters.search.reranking.judge import Judge, JudgeConfig
from e2.errors import InputError
from e2.settings import from_dict
from e2.training.settings import parse_settings


def reranker_of(source: str | None, settings: Sequence[str] = ()) -> Reranker | None:
    """Makes a re-ranker.

    Args:
        source: the address of an OpenAI-compatible server with a model that sees, or a cross-encoder's folder or name; None:
            none.
        settings: ``KEY=VALUE`` of `JudgeConfig` and `EndpointConfig`, also ``cache=FILE``; or of `CrossEncoderConfig`.

    Raises:
        InputError: a wrong setting, or a model that cannot be loaded.
    """
    if source is None:
        if settings:
            raise InputError("--reranker-set belongs to --reranker; name a server or a cross-encoder")
        return None
    options = parse_settings(settings)
    if source.startswith(("http://", "https://")):
        own = {field.name for field in fields(JudgeConfig)}
        cache = options.pop("cache", None)
        config = from_dict(JudgeConfig, {key: options.pop(key) for key in own & set(options)}, "re-ranker")
        server = {"url": source, "max_tokens": 256, "tries": 2, "parallel": 8, **options}
        return Judge(from_dict(EndpointConfig, server, "re-ranker"), config, cache)
    from e2.adapters.search.reranking.cross_encoder import CrossEncoder, CrossEncoderConfig

    return CrossEncoder(from_dict(CrossEncoderConfig, {"model": source, **options}, "re-ranker"))
