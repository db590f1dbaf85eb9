import json
import pickle

import pytest
from torch.utils.data import DataLoader

from e2.data import Columns, Subset, hub, open_catalogue, splits_of
from e2.data.export import import_catalogue
from e2.errors import InputError
from tests.e2.data.conftest import encoded, photo, rows, write_parquet

datasets = pytest.importorskip("datasets")
TAGS = ("brand", "season")


@pytest.fixture(autouse=True)
def offline_and_own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    hub.opened.cache_clear()
    hub._column.cache_clear()


@pytest.fixture
def folder(tmp_path):
    records = rows(7)
    records[2]["brand"] = None
    write_parquet(tmp_path / "shop/data/train-00000-of-00001.parquet", records)
    write_parquet(tmp_path / "shop/data/validation-00000-of-00001.parquet", rows(3, start=50))
    return tmp_path / "shop"


def test_equals_what_the_table_source_reads(folder):
    assert splits_of(f"hf:{folder}") == ("train", "val")
    for split in ("train", "val"):
        expected = open_catalogue(str(folder), split, tags=TAGS, progress=False)
        assert list(open_catalogue(f"hf:{folder}", split, tags=TAGS, progress=False)) == list(expected)


def test_worker_processes(folder):
    catalogue = Subset(open_catalogue(f"hf:{folder}", "train", tags=TAGS, progress=False), range(5))
    loader = DataLoader(catalogue, 2, num_workers=1, collate_fn=list, multiprocessing_context="fork")
    assert [product for batch in loader for product in batch] == list(catalogue)
    assert list(pickle.loads(pickle.dumps(catalogue))) == list(catalogue)  # what a spawned worker gets


def test_a_set_with_features_of_its_own(tmp_path):
    """Decoded images, several a product, classes kept as numbers, shuffled rows; saved by save_to_disk."""
    features = datasets.Features(
        {
            "item": datasets.Value("int64"),
            "photos": datasets.Sequence(datasets.Image()),
            "title": datasets.Value("string"),
            "kind": datasets.ClassLabel(names=["tee", "shoe"]),
        }
    )
    cells = {
        "item": [1, 2, 3],
        "photos": [[photo(1), photo(2)], [photo(3)], []],
        "title": ["One", "Two", "Three"],
        "kind": [1, -1, 0],
    }
    made = datasets.Dataset.from_dict(cells, features=features).select([2, 1, 0])
    made.save_to_disk(str(tmp_path / "set"))
    columns = Columns(image="photos", caption="title", id="item")
    catalogue = open_catalogue(f"hf:{tmp_path / 'set'}", tags=["kind"], columns=columns, on_bad_row="skip", progress=False)
    assert [(p.product_id, p.captions, p.tags) for p in catalogue] == [("2", ("Two",), {}), ("1", ("One",), {"kind": "shoe"})]
    assert [len(p.images) for p in catalogue] == [1, 2] and catalogue.bad_rows == {"no image": 1}
    assert list(catalogue[1].images) == [encoded(photo(1), "PNG"), encoded(photo(2), "PNG")]


def test_a_single_file_with_paths(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    record = {"product_id": 7, "image": "a.jpg", "caption": "A hat"}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    catalogue = open_catalogue(f"hf:{tmp_path / 'a.jsonl'}", "test", progress=False)
    assert catalogue[0].images == (tmp_path / "a.jpg",) and catalogue[0].product_id == "7"


@pytest.mark.parametrize("to", ["parquet", "webdataset"])
def test_streams_are_imported_in_one_pass(folder, tmp_path, to, monkeypatch):
    expected = {split: list(open_catalogue(f"hf:{folder}", split, tags=TAGS, progress=False)) for split in ("train", "val")}
    monkeypatch.setattr("e2.data.hub_stream.ROWS_AT_ONCE", 2)
    sizes = import_catalogue(f"hf-stream:{folder}", tmp_path / "out", tags=TAGS, to=to, progress=False)
    assert sizes == {"train": 7, "val": 3}
    spec = f"webdataset:{tmp_path / 'out'}" if to == "webdataset" else str(tmp_path / "out")
    for split, products in expected.items():
        assert list(open_catalogue(spec, split, tags=TAGS, progress=False)) == products


def test_bad_rows_of_a_stream(tmp_path, monkeypatch, capsys):
    records = rows(8)
    records[3]["caption"] = None
    records[4]["image"]["bytes"] = b"broken"
    records[6]["product_id"] = "p0"  # in another batch than the first p0
    records[7]["product_id"] = "p5"
    spec = f"hf-stream:{write_parquet(tmp_path / 'a.parquet', records)}"
    monkeypatch.setattr("e2.data.hub_stream.ROWS_AT_ONCE", 4)
    with pytest.raises(InputError) as caught:
        import_catalogue(spec, tmp_path / "out", progress=False)
    assert "row 4, id 'p3': no text" in str(caught.value) and not (tmp_path / "out").exists()
    import_catalogue(spec, tmp_path / "out", on_bad_row="skip")
    products = open_catalogue(str(tmp_path / "out"), progress=False)
    assert [p.product_id for p in products] == ["p0", "p1", "p2", "p5"]
    said = " ".join(capsys.readouterr().err.split())
    assert "left out 4 of 8 rows" in said and "2 duplicate id" in said and "1 broken image" in said


def test_a_stream_elsewhere_gets_one_clear_line(folder):
    with pytest.raises(InputError, match="only be read once; write it to disk by `e2 data import hf-stream:"):
        open_catalogue(f"hf-stream:{folder}", "train")


def error_of(argument, **options):
    with pytest.raises(InputError) as caught:
        open_catalogue(f"hf:{argument}", "train", progress=False, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_clear_errors(folder, tmp_path):
    assert "cannot be loaded" in error_of("nobody/nothing-of-the-sort")
    assert "write hf:ORG/NAME" in error_of("no/such/folder")
    assert "no column 'fabric'" in error_of(folder, tags=["fabric"])
    (tmp_path / "a.xlsx").write_bytes(b"x")
    assert "not a table" in error_of(tmp_path / "a.xlsx")
    damaged = tmp_path / "bad.parquet"
    damaged.write_bytes(b"PAR1 nonsense")
    assert "cannot be loaded" in error_of(damaged)


def test_names_configurations_and_revisions(monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: asked.append((args, options)) or {"train": None})
    for argument in ("org/name", "org/name:small", "org/name:small@v2", "name@abc"):
        hub.opened(argument)
    assert [(*args, options["revision"]) for args, options in asked] == [
        ("org/name", None, None),
        ("org/name", "small", None),
        ("org/name", "small", "v2"),
        ("name", None, "abc"),
    ]


def test_datasets_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert "pip install 'e2-fashion[sources]'" in error_of("org/name")
