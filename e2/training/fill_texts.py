"""Encodes a catalogue's texts by a frozen text tower before the training, and keeps the embeddings on disk."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor

from e2.checkpoint import tensors_sha256
from e2.data.cache import key
from e2.data.fingerprint import digest
from e2.data.loader import TrainingViews
from e2.distributed import processes
from e2.files import atomic_path
from e2.frozen_texts import FrozenTexts
from e2.progress import with_progress
from e2.texts import text_keys

SHARD = 4096  # texts a file


def texts_of(views: TrainingViews) -> list[str]:
    """All descriptions and tags of the products, each once. (Made-up lists of tags are met in training.)"""
    return sorted(set(_texts(views)))


def _texts(views: TrainingViews) -> Iterator[str]:
    for index in range(len(views)):
        yield from views.texts(index)


def fill_texts(texts: FrozenTexts, root: Path, known: Sequence[str], tokenizer: Callable, precision: str) -> None:
    """Gives a table the embeddings of known texts: read if they are on disk, else encoded and written.

    Files appear whole or not at all. Each process encodes its share and reads all.

    Args:
        texts: the table to fill.
        root: the cache folder.
        known: the texts.
        tokenizer: of the model.
        precision: of the pass, entered by the caller.
    """
    state, clip = processes(), texts.clip
    weights = {name: tensor for name, tensor in clip.state_dict().items() if not name.startswith("visual.")}
    folder = root / key("texts", tensors_sha256(weights), precision)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{state.process_index}.lock"):  # another run may be writing the same
        read_texts(texts, folder)
        state.wait_for_everyone()  # so that all see the same as missing
        parts = [known[start : start + SHARD] for start in range(0, len(known), SHARD)]
        for part in with_progress(parts[state.process_index :: state.num_processes], "frozen text tower", len(parts)):
            encode_part(texts, folder, tokenizer(list(part)))
    state.wait_for_everyone()
    if state.num_processes > 1:
        read_texts(texts, folder)


def encode_part(texts: FrozenTexts, folder: Path, tokens: Tensor) -> None:
    """Encodes those of some texts that the table lacks, and writes them to a file of their own."""
    keys = text_keys(tokens)
    if new := texts.unknown(keys.tolist()):
        rows = texts.encode(tokens[new].to(texts.clip.logit_scale.device))
        texts.add(keys[new].tolist(), rows)
        with atomic_path(folder / f"{digest(map(str, keys[new].tolist()))}.safetensors", cache=True) as path:
            save_file({"keys": keys[new], "rows": rows}, path)


def read_texts(texts: FrozenTexts, folder: Path) -> None:
    """Adds all texts on disk that the table lacks."""
    for found in map(load_file, sorted(folder.glob("*.safetensors"))):
        if new := texts.unknown(found["keys"].tolist()):
            texts.add(found["keys"][new].tolist(), found["rows"][new])
