"""Runs a catalogue's texts through the frozen part of a text tower before the training, and keeps what it gives on disk."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from e2.checkpoint import tensors_sha256
from e2.counting import counted
from e2.data.cache import key
from e2.data.fingerprint import digest
from e2.data.loader import TrainingViews
from e2.distributed import processes
from e2.errors import InputError
from e2.files import atomic_tensors
from e2.foreign import OpenClip
from e2.frozen_texts import AT_ONCE, FrozenTexts
from e2.lockfile import LockFile
from e2.progress import with_progress
from e2.text_front import TextRows
from e2.texts import text_keys
from e2.training.cache_room import announce

SHARD = 4096  # texts a file


def texts_of(views: TrainingViews) -> list[str]:
    """All descriptions and tags of the products, each once. (Made-up lists of tags are met in training.)"""
    return sorted(set(_texts(views)))


def _texts(views: TrainingViews) -> Iterator[str]:
    for index in range(len(views)):
        yield from views.texts(index)


def fill_texts(texts: FrozenTexts, root: Path, known: Sequence[str], tokenizer: Callable, precision: str) -> None:
    """Gives a table the rows of known texts: read if they are on disk, else made and written.

    Files appear whole or not at all. Each process runs its share and reads all.

    Args:
        texts: the table to fill.
        root: the cache folder.
        known: the texts.
        tokenizer: of the model.
        precision: of the pass, entered by the caller.

    Raises:
        InputError: no room on the disk, a damaged file there, or numbers beyond half precision.
    """
    state, clip = processes(), texts.front.clip
    folder = root / key(texts.front.name, tensors_sha256(_frozen(clip)), precision)
    folder.mkdir(parents=True, exist_ok=True)
    with LockFile(folder / f".{state.process_index}.lock").held():  # another run may be writing the same
        _read_all(texts, folder)
        state.wait_for_everyone()  # so that all see the same as missing
        parts = [known[start : start + SHARD] for start in range(0, len(known), SHARD)]
        share = parts[state.process_index :: state.num_processes]
        announced = False
        for rank, part in enumerate(with_progress(share, "frozen text layers", len(share))):
            tokens = tokenizer(list(part))
            keys = text_keys(tokens)
            if new := texts.unknown(keys.tolist()):
                tokens, keys = tokens[new].to(clip.logit_scale.device), keys[new]
                begun = None if announced else _begin(texts, tokens, folder, sum(map(len, share[rank:])))
                announced = True
                _write(texts, folder, keys, texts.encode(tokens, begun))
    state.wait_for_everyone()
    if state.num_processes > 1:
        _read_all(texts, folder)


def _read_all(texts: FrozenTexts, folder: Path) -> None:
    for file in sorted(folder.glob("*.safetensors")):
        _read(texts, file)


def _frozen(clip: OpenClip) -> dict[str, Tensor]:
    """Weights and buffers of the text tower that do not learn."""
    learning = {name for name, p in clip.named_parameters() if p.requires_grad}
    return {n: tensor for n, tensor in clip.state_dict().items() if not n.startswith("visual.") and n not in learning}


def _begin(texts: FrozenTexts, tokens: Tensor, folder: Path, count: int) -> TextRows:
    """Makes the rows of some texts, and says by them how large those of ``count`` may be and how long they may take.

    Raises:
        InputError: the disk cannot hold them.
    """
    some, start = tokens[:AT_ONCE], time.monotonic()
    made = texts.encode(some)
    share = count / len(some)
    announce(
        f"up to {counted(count, 'text')}", int(made.rows.nbytes * share), folder.parent, (time.monotonic() - start) * share
    )
    return made


def _write(texts: FrozenTexts, folder: Path, keys: Tensor, made: TextRows) -> None:
    """Writes rows that the table lacks to a file of their own."""
    file = folder / f"{digest(map(str, keys.tolist()))}.safetensors"
    with atomic_tensors(file, cache=True) as path:
        save_file({"keys": keys, "rows": made.rows, "lengths": made.lengths}, path)
    _read(texts, file)


def _read(texts: FrozenTexts, file: Path) -> None:
    """Adds the texts of a file, in which their rows stay: it is mapped into memory."""
    try:
        found = load_file(file)
        texts.add(found["keys"].tolist(), TextRows(found["rows"], found["lengths"]))
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"{file} is damaged or gone; remove it and start again") from error
