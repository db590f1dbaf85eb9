"""Rewrites captions by any OpenAI-compatible server, several at a time, resumable."""

import concurrent.futures
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2.adapters.composed.answers import read_caption
from e2.adapters.composed.chat_client import ChatClient, EndpointConfig
from e2.adapters.composed.chat_protocol import SCHEMA, NoAnswer, shown_address
from e2.adapters.composed.rewriting import Rewriting, answered, failed, rewrite_messages
from e2.errors import InputError
from e2.progress import with_progress

Pair = tuple[str, str]  # a caption and a wish


class Endpoint:
    """Rewrites captions by a server.

    Args:
        cache: file of accepted captions, which are not asked for again, so that a stopped run can continue.
    """

    def __init__(self, config: EndpointConfig, cache: str | Path | None = None):
        self.config = config
        self.client = ChatClient(config, SCHEMA, cache)

    @property
    def info(self) -> dict[str, Any]:
        return {"rewriter": "endpoint", **self.client.info}

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> list[Rewriting]:
        """Rewrites N captions by N wishes."""
        pairs = list(zip(captions, wishes, strict=True))
        found = self._ask_all(list(dict.fromkeys(pairs)))
        return [found[pair] for pair in pairs]

    def _ask_all(self, pairs: Sequence[Pair]) -> dict[Pair, Rewriting]:
        """Asks about different captions and wishes."""
        found: dict[Pair, Rewriting] = {}
        with concurrent.futures.ThreadPoolExecutor(self.config.parallel) as pool:
            running = {pool.submit(self._ask, *pair): pair for pair in pairs}
            for future in with_progress(concurrent.futures.as_completed(running), "Rewriting", len(pairs), True):
                pair = running[future]
                try:
                    found[pair] = answered(pair[0], future.result())
                except NoAnswer as error:
                    if self.config.on_failure == "error":
                        pool.shutdown(wait=False, cancel_futures=True)
                        self.client.stop()
                        raise InputError(
                            f"{shown_address(self.config.url)}: {error}; check the server, then run again to continue, or set "
                            "on_failure=skip"
                        ) from error
                    found[pair] = failed(*pair, error.reason)
        return found

    def _ask(self, caption: str, wish: str) -> str:
        return self.client.ask(rewrite_messages(caption, wish), lambda text: read_caption(text, caption, wish))
