"""Times what turns a JPEG into a training view, on one core: our transform against open_clip's own, with each decoder.

In seconds of processor time, which other programs disturb little.
"""

import io
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from e2.benchmarks.speed.input_pipeline import HEIGHT, SIZE, WIDTH, photo, transform
from e2.data.decoders import TORCHVISION
from e2.data.device_views import DeviceTransform


def run(photos: int = 100, repeats: int = 5, *, width: int = WIDTH, height: int = HEIGHT) -> dict[str, Any]:
    """Measures them in turn. open_clip's crops and resizes; ours resizes, crops and changes the colours a little.

    Args:
        photos: JPEGs of the given size in pixels.

    Returns:
        ``ratio``, ``ratio_min``, ``ratio_max``: our time / open_clip's; ``decoder_ratio`` and so on: ours with torchvision's
        decoder (``data.decoder``) / ours with Pillow's; ``worker_ratio`` and so on: what nvjpeg leaves to a worker / ours with
        Pillow's; and the views a second of one core of each.
    """
    torch.set_num_threads(1)
    files = [photo(seed, width, height) for seed in range(photos)]
    theirs = image_transform_v2(PreprocessCfg(size=(SIZE, SIZE)), is_train=True)
    ways: dict[str, Callable[[bytes], Any]] = {"e2": transform(), "e2_torchvision": transform(TORCHVISION)}
    ways["worker"] = DeviceTransform(transform(TORCHVISION), torch.device("cpu"))
    ways["open_clip"] = lambda file: theirs(Image.open(io.BytesIO(file)))
    rounds = [{name: processor_seconds(way, files) for name, way in ways.items()} for _ in range(repeats + 1)][1:]
    return {
        "photos": photos,
        "photo_size": [width, height],
        "model_size": SIZE,
        **ratios("ratio", rounds, "e2", "open_clip"),
        **ratios("decoder_ratio", rounds, "e2_torchvision", "e2"),
        **ratios("worker_ratio", rounds, "worker", "e2"),
        **{f"{name}_per_core_second": photos / statistics.median(times[name] for times in rounds) for name in ways},
    }


def ratios(name: str, rounds: Sequence[dict[str, float]], way: str, reference: str) -> dict[str, float]:
    """Median, least and most of one way's time over another's in the same round."""
    found = [times[way] / times[reference] for times in rounds]
    return {name: statistics.median(found), f"{name}_min": min(found), f"{name}_max": max(found)}


def processor_seconds(way: Callable[[bytes], Any], files: Sequence[bytes]) -> float:
    """Measures this process's time for all files."""
    start = time.process_time()
    for file in files:
        way(file)
    return time.process_time() - start
