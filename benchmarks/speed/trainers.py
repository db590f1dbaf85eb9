"""Times epochs of `e2 train` against open_clip's own trainer, from files to updated weights, for `e2 speed trainers`.

Both read the same JPEG files and descriptions from a csv file, decode and augment with as many processes, and learn in the
same precision; each uses its own defaults for the rest. Descriptions alone teach open_clip; ours also learns from tags with
``method=e2``.
"""

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch

from e2.backbone_sources import register_backbones
from e2.benchmarks.speed.harness import compare
from e2.benchmarks.speed.train_step import DATA, TAGS, finish, first_steps, plain_optimizer, prepared
from e2.config import TrainConfig
from e2.data import open_catalogue
from e2.extras import extra
from e2.training.step import read, take_step
from e2.training.train import batches


def run(
    backbone: str = "e2-small",
    batch_size: int = 128,
    *,
    method: str = "clip",
    epoch: int = 512,
    precision: str = "bf16",
    data: str = DATA,
    tags: Sequence[str] = TAGS,
    workers: int = 1,
    device: str = "auto",
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Times epochs of both in turn, and counts images a second.

    Args:
        backbone: one of open_clip's or ours, with random weights.
        batch_size: products a step.
        method: of `e2 train`; open_clip trains plain CLIP.
        epoch: products of the catalogue that an epoch shows.
        precision: fp32 or bf16 (autocast).
        data: where photos, descriptions and tags come from.
        tags: the entities.
        workers: processes that decode photos, of each.
        device: cpu, cuda or auto.
        repeats: epochs of each.
        seed: of weights and order.

    Returns:
        The result of `harness.compare`, seconds per epoch; images per second of both.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split, most in (("train", epoch), ("val", 2)):
            write_split(folder / f"{split}.csv", data, split, tags, most)
        config = first_steps(
            method=method,
            backbone=backbone,
            precision=precision,
            device=device,
            seed=seed,
            data={"data": name, "tags": list(tags), "batch_size": batch_size, "workers": workers},
        )
        ours = OurEpochs(config)
        theirs = OpenClipEpochs(ours.run.config, folder / "train.csv", ours.run.accelerator.device.type)
        timed = compare(ours, theirs, repeats)
    shown = epoch // batch_size * batch_size
    rates = {"images_per_second": shown / timed["ours_s"], "reference_images_per_second": shown / timed["reference_s"]}
    return {**timed, **rates}


def write_split(table: Path, data: str, split: str, tags: Sequence[str], most: int) -> None:
    """Writes the first products of a split as a csv file, beside a folder of their photos."""
    catalogue = open_catalogue(data, split, tags=tags, progress=False)
    photos = table.with_suffix("")
    photos.mkdir()
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, ["product_id", "image", "caption", *tags], restval="")
        rows.writeheader()
        for number in range(min(most, len(catalogue))):
            product, photo = catalogue[number], photos / f"{number}.jpg"
            image = product.images[0]
            photo.write_bytes(image if isinstance(image, bytes) else image.read_bytes())
            rows.writerow({"product_id": number, "image": photo, "caption": product.captions[0], **product.tags})


class OurEpochs:
    """Trains an epoch of a run of `e2 train` a call."""

    def __init__(self, config: TrainConfig):
        self.run = prepared(config)

    def __call__(self) -> None:
        run = self.run
        for _, batch in zip(range(run.steps_per_epoch), batches(run), strict=False):
            take_step(run, batch)
        read(run)
        finish(run.accelerator.device)


class OpenClipEpochs:
    """Trains an epoch by ``open_clip_train`` a call, with its defaults for a csv file.

    Raises:
        InputError: a package that it imports is missing.
    """

    def __init__(self, config: TrainConfig, table: Path, device: str):
        register_backbones()
        with extra("test", "open_clip's trainer"):
            from open_clip_train.data import get_csv_dataset
            from open_clip_train.params import parse_args
            from open_clip_train.train import train_one_epoch
        self.args = parse_args(
            [
                *("--train-data", str(table), "--dataset-type", "csv", "--csv-separator", ","),
                *("--csv-img-key", "image", "--csv-caption-key", "caption", "--model", config.backbone),
                *("--batch-size", str(config.data.batch_size), "--workers", str(config.data.workers)),
                *("--precision", {"bf16": "amp_bf16"}.get(config.precision, config.precision), "--skip-scheduler"),
            ]
        )
        self.args.device, self.args.distributed, self.args.distill = device, False, False
        self.args.rank, self.args.world_size, self.args.wandb, self.args.save_logs = 0, 1, False, False
        torch.manual_seed(config.seed)
        self.model, transform, _ = open_clip.create_model_and_transforms(config.backbone, output_dict=True)
        self.model.to(self.args.device)
        tokenizer = open_clip.get_tokenizer(config.backbone)
        self.data = {"train": get_csv_dataset(self.args, transform, True, tokenizer=tokenizer)}
        self.optimizer, self.train_one_epoch, self.epoch = plain_optimizer(self.model), train_one_epoch, 0

    def __call__(self) -> None:
        self.train_one_epoch(
            self.model, self.data, open_clip.ClipLoss(), self.epoch, self.optimizer, None, None, None, self.args
        )
        self.epoch += 1
        finish(torch.device(self.args.device))
