"""Brings a shop from its table to a search page by the commands that a person would give, with their defaults chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2.benchmarks.start.steps import Call, StepRecord
from e2.data import open_catalogue
from e2.data.command import ImportTableOptions
from e2.data.entities.propose import NothingProposed
from e2.data.entities.rules import ENDINGS
from e2.data.shop.detect import shop_source
from e2.data.shop.folder import REPORT
from e2.data.shop.source import ShopSource
from e2.data.sources import Source, source_of
from e2.data.tables import TableSource
from e2.files import file_sha256
from e2.notes import say
from e2.training.state import SUMMARY

RECORD, ENTITIES = "start.json", "entities.yaml"
VAL, TEST = 0.05, 0.1  # shares of a catalogue without splits of its own
# A frozen image tower: it runs once per photo, so that all epochs after that cost little
FROZEN = ("optim.image_layers=0", "optim.lr=3e-4")
SEEN_FROZEN, SEEN_SCRATCH = 15_000, 60_000  # products that a training sees, each once an epoch
MOST_EPOCHS_FROZEN, MOST_EPOCHS_SCRATCH = 10, 30
BATCH, LEAST_BATCH, LEAST_STEPS = 128, 8, 8  # products a step; steps an epoch before a batch is made smaller


@dataclass(frozen=True)
class FirstDay:
    """A shop and how to read it; options of `e2 start`."""

    spec: str
    out: Path
    table: ImportTableOptions = ImportTableOptions()
    tags: str | None = None
    caption: str | None = None
    group_by: str | None = None
    backbone: str | None = None
    pretrained: str | None = None
    epochs: float | None = None
    device: str = "auto"
    precision: str = "fp32"

    def computing(self) -> list[str]:
        """Words of every command that runs a model."""
        device = [] if self.device == "auto" else ["--device", self.device]
        return device if self.precision == "fp32" else [*device, "--precision", self.precision]

    def looking(self) -> list[str]:
        """The same, and where those that look at the catalogue's photos find what a frozen tower made of them."""
        return [*self.computing(), *(["--cache", str(self.out / "cache")] if self.frozen else [])]

    @property
    def frozen(self) -> bool:
        """True if the image tower has learnt already."""
        return self.pretrained is not None or (self.backbone is not None and ":" in self.backbone)


@dataclass(frozen=True)
class OpenedShop:
    """A catalogue as every command reads it.

    Attributes:
        spec: its SPEC.
        table: options by which its tables are read.
    """

    spec: str
    table: ImportTableOptions

    @property
    def source(self) -> Source:
        return source_of(self.spec, self.table.read(None)["columns"])

    def options(self) -> list[str]:
        """Options as words of a command line."""
        defaults = ImportTableOptions()
        given = {name: value for name, value in vars(self.table).items() if value != getattr(defaults, name)}
        return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]

    def identity(self) -> list[object]:
        """JSON-able description that changes whenever the products may have."""
        return _identity(self.source)

    def products(self, split: str) -> int:
        """Number of usable products."""
        options = self.table.read(None) | {"on_bad_row": self.table.on_bad_row or "error"}
        return len(open_catalogue(self.spec, split, **options, progress=False))


def first_day(day: FirstDay, call: Call, *, serve: bool = False) -> None:
    """Does what is left to do of a shop's first day.

    Args:
        day: the shop.
        call: runs a command line of `e2`.
        serve: open the search page at the end.

    Raises:
        InputError: what one of the commands refuses, or a folder that was begun with another table.
        TrainingStopped: an interruption; the same call goes on.
    """
    steps = StepRecord(day.out / RECORD, day.spec, call)
    opened = imported(day, steps)
    splits = opened.source.splits()
    tags = entities(day, opened, steps)
    inputs = [opened.identity(), [_digest(Path(word)) for word in tags[1:] if word.endswith(ENDINGS)]]
    reading = ["--data", opened.spec, *tags, *opened.options()]
    looking = day.looking()

    check = day.out / "check"
    steps.do("check", "data", "check", opened.spec, *reading[2:], "--out", check, inputs=inputs, output=check / "check.json")

    model = day.out / "model"
    training = training_options(day, opened.products(_train(splits)), bool(tags or opened.source.entities))
    line = ["train", *reading, *training, *looking, "--out", model]
    steps.do("train", *line, inputs=inputs, output=model / SUMMARY, resumes=True, replaces=True)
    inputs = [*inputs, _digest(model / SUMMARY)]

    held_out = next((split for split in ("test", "val") if split in splits), None)
    if held_out:
        line = ["evaluate", "retrieval", "--model", model, *reading, "--split", held_out, *looking]
        results = day.out / "retrieval"
        steps.do("evaluate", *line, "--out", results, inputs=inputs, output=results / "metrics.json")

    index = indexed(splits, reading, looking, model, day.out / "index", inputs, steps)
    page = ["app", "--index", str(index), *day.computing()]
    _tell_the_end(day, steps, page)
    if serve:
        call(page)


def imported(day: FirstDay, steps: StepRecord) -> OpenedShop:
    """Imports an export, or a table without splits; anything else is read where it is."""
    source = _to_import(day)
    given = OpenedShop(day.spec, day.table)
    if source is None:
        return given
    folder = day.out / "data"
    shares = ["--val", VAL, "--test", TEST] if len(source.splits()) == 1 else []
    words = {"--caption": day.caption, "--group-by": day.group_by}
    options = [word for name, value in words.items() if value for word in (name, value)]
    line = ["data", "import", day.spec, *options, *given.options(), *shares, "--out", folder]
    steps.do("import", *line, inputs=_identity(source), output=folder / REPORT, resumes=True, replaces=True)
    return OpenedShop(str(folder), ImportTableOptions())


def _to_import(day: FirstDay) -> ShopSource | None:
    columns = day.table.read(None)["columns"]
    options: dict[str, Any] = {"group_by": day.group_by, "caption": day.caption}
    export = shop_source(day.spec, columns, **options)
    if export is None and isinstance(plain := source_of(day.spec, columns), TableSource) and plain.one_split:
        return shop_source(day.spec, columns, **options, shaped=True)
    return export


def entities(day: FirstDay, opened: OpenedShop, steps: StepRecord) -> list[str]:
    """Words that name the entities: those given, those of the source, or a file of proposed ones, for a person to edit."""
    if day.tags:
        return ["--tags", day.tags]
    if opened.source.entities:
        return []
    file, before = day.out / ENTITIES, steps.record.get("entities", {})
    if file.exists() and before.get("wrote") != _digest(file):
        print(f"\nentities: those of {file}, which you wrote or edited")
        return ["--tags", str(file)]
    line = ["data", "entities", opened.spec, *opened.options(), "--out", file]
    try:
        steps.do("entities", *line, inputs=opened.identity(), output=file, replaces=True)
    except NothingProposed as nothing:
        say(f"{nothing}; going on without")
        return []
    steps.note("entities", wrote=_digest(file))
    return ["--tags", str(file)]


def training_options(day: FirstDay, products: int, tagged: bool) -> list[str]:
    """Options of a training that suit a catalogue of a given size."""
    seen, most = (SEEN_FROZEN, MOST_EPOCHS_FROZEN) if day.frozen else (SEEN_SCRATCH, MOST_EPOCHS_SCRATCH)
    epochs = day.epochs or min(most, max(1, round(seen / max(1, products))))
    batch = min(BATCH, max(LEAST_BATCH, products // LEAST_STEPS))
    given = {"--backbone": day.backbone, "--pretrained": day.pretrained}
    words = ["--method", "e2" if tagged else "clip", *(word for name in given if given[name] for word in (name, given[name]))]
    if day.frozen:
        words += [word for setting in FROZEN for word in ("--set", setting)]
    return [*map(str, words), "--epochs", f"{epochs:g}", "--batch-size", str(batch)]


def indexed(
    splits: Sequence[str],
    reading: Sequence[str],
    looking: Sequence[str],
    model: Path,
    index: Path,
    inputs: Sequence[object],
    steps: StepRecord,
) -> Path:
    """Builds the index of the first split and adds the others."""
    first, *others = splits
    line = ["index", "build", "--encoder", model, *reading, "--split", first, *looking, "--out", index]
    steps.do("index", *line, inputs=inputs, output=index, resumes=True, replaces=True)
    inputs = [*inputs, steps.record["index"]["finished"]]
    for split in others:
        line = ["index", "update", "--index", index, *reading, "--split", split, *looking]
        steps.do(f"index {split}", *line, inputs=inputs, output=index)
    return index


def _train(splits: Sequence[str]) -> str:
    return "train" if "train" in splits else splits[0]


def _identity(source: Source) -> list[object]:
    return [[split, *source.identity(split)] for split in source.splits()]


def _digest(file: Path) -> str | None:
    return file_sha256(file) if file.is_file() else None


def _tell_the_end(day: FirstDay, steps: StepRecord, page: Sequence[str]) -> None:
    print(f"\nAll steps: {steps.seconds() / 60:.1f} min, kept in {day.out / RECORD}")
    print(f"Faults of the catalogue: {day.out / 'check'}/index.html")
    if (day.out / ENTITIES).exists():
        print(f"Other tags? Edit {day.out / ENTITIES} and give the same command again.")
    if not day.frozen:
        print("This model learnt from your photos alone; --backbone names one that has seen millions.")
    print(f"The search page: e2 {' '.join(page)}", flush=True)
