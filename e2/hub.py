"""Fetches backbones from the Hugging Face hub or its cache, and tells the hub's many errors in one line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2.errors import InputError, first_line
from e2.hf_weights import read_json
from e2.weights import OPEN_CLIP_CONFIG

HUB = "hf-hub:"
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")  # of a transformers repository: no pickles


def hub_config(name: str) -> dict[str, Any]:
    """Configuration in a hub repository: open_clip's ``model_cfg``, transformers' ``model_type`` or E2's ``format``."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    reason = f"it holds no {OPEN_CLIP_CONFIG} and no config.json"
    for file in (OPEN_CLIP_CONFIG, "config.json"):
        try:
            return read_json(Path(hf_hub_download(name.removeprefix(HUB), file)))
        except EntryNotFoundError as error:  # not there, or not in the cache while the hub is out of reach
            reason = first_line(error)
        except Exception as error:  # the hub client raises many kinds; each means: not available
            raise InputError(f"cannot get {name} from the hub: {first_line(error)}; check the name and the network") from error
    raise InputError(f"cannot get {name}: it is not in the cache and the hub cannot be reached, or is not a CLIP ({reason})")


def hub_folder(name: str, files: Sequence[str] = HUB_FILES, **options: Any) -> Path:
    """Local copy of some files of a repository; ``options`` of ``huggingface_hub.snapshot_download``."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name.removeprefix(HUB), allow_patterns=list(files), **options))
    except Exception as error:
        raise InputError(f"cannot get {name} from the hub: {first_line(error)}; check the name and the network") from error
