import io
import json
import pickle
import shutil
import subprocess
import tarfile
from collections import Counter

import pytest
from torch.utils.data import DataLoader

from e2.data import Columns, Subset, open_catalogue, shard_files, splits_of, tar_samples
from e2.data.export import import_catalogue
from e2.data.images import BadImage
from e2.data.loader import StepSampler
from e2.errors import InputError
from tests.command import names_in
from tests.e2.data.conftest import encoded, photo, rows, write_parquet

TAGS = ("brand", "season")


def full_records(count: int) -> list[dict]:
    """Products with several photos and captions, missing tags, regions and scripts of all kinds."""
    records = rows(count)
    for number, record in enumerate(records):
        images = [encoded(photo(number)), encoded(photo(number + 500), "PNG"), *[encoded(photo(n)) for n in range(9)]]
        record["image"] = images[: 1 + number % 11]
        record["caption"] = [record["caption"], "👗 فستان\u2028أحمر"][: 1 + number % 2]
        record["brand"] = None if number % 5 == 0 else record["brand"]
        record["regions"] = '{"brand": [0.0, 0.25, 0.5, 1.0]}' if number % 3 == 0 else None
    return records


@pytest.fixture
def table(tmp_path):
    write_parquet(tmp_path / "shop/train.parquet", full_records(25))
    write_parquet(tmp_path / "shop/test.parquet", rows(3, start=90))
    return str(tmp_path / "shop")


@pytest.fixture
def folder(table, tmp_path):
    sizes = import_catalogue(table, tmp_path / "out", tags=TAGS, to="webdataset", shard_size=10, progress=False)
    assert sizes == {"train": 25, "test": 3}
    return tmp_path / "out"


def test_round_trip(table, folder):
    assert names_in(folder) == ["test-000000.tar", *(f"train-00000{n}.tar" for n in range(3))]
    assert splits_of(f"webdataset:{folder}") == ("train", "test")
    for split in ("train", "test"):
        before = open_catalogue(table, split, tags=TAGS, progress=False)
        after = open_catalogue(f"webdataset:{folder}", split, tags=TAGS, progress=False)
        assert list(after) == list(before)
    assert len(after[0].images) == 1 and "season" in after.columns


def test_writing_again_gives_the_same_bytes(table, folder, tmp_path):
    import_catalogue(table, tmp_path / "again", tags=TAGS, to="webdataset", shard_size=10, progress=False)
    for file in folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_the_package_webdataset_reads_them_alike(table, folder):
    wds = pytest.importorskip("webdataset")
    samples = list(wds.WebDataset(str(folder / "train-{000000..000002}.tar"), shardshuffle=False, empty_check=False))
    products = list(open_catalogue(table, "train", tags=TAGS, progress=False))
    assert len(samples) == len(products)
    for sample, product in zip(samples, products, strict=True):
        record = json.loads(sample["json"])
        assert record["product_id"] == product.product_id and sample["jpg"] == product.images[0]
        captions = record["caption"] if isinstance(record["caption"], list) else [record["caption"]]
        assert tuple(captions) == product.captions and record.get("brand") == product.tags.get("brand")
        assert sum(key.rpartition(".")[2] in ("jpg", "png") for key in sample) == len(product.images)


def test_shards_that_the_package_webdataset_wrote(tmp_path):
    wds = pytest.importorskip("webdataset")
    with wds.TarWriter(str(tmp_path / "part-0.tar")) as sink:
        for record in rows(3):
            meta = {"title": record["caption"], "sku": record["product_id"], "brand": record["brand"]}
            sink.write({"__key__": f"a/{record['product_id']}", "jpg": record["image"]["bytes"], "json": meta})
    columns = Columns(caption="title", id="sku")
    catalogue = open_catalogue(f"webdataset:{tmp_path}/part-0.tar", tags=["brand"], columns=columns, progress=False)
    assert [(p.product_id, p.captions[0], p.tags["brand"]) for p in catalogue] == [
        (record["product_id"], record["caption"], record["brand"]) for record in rows(3)
    ]
    assert open_catalogue(f"webdataset:{tmp_path}", "val", columns=columns, progress=False)  # no splits: answers to any


def write_tar(file, members: dict[str, bytes]):
    with tarfile.open(file, "w") as tar:
        for name, contents in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return file


def test_texts_beside_photos_and_bad_samples(tmp_path):
    good = encoded(photo())
    members = {"a.jpg": good, "a.txt": b"A red dress", "b.png": encoded(photo(), "PNG"), "b.json": b"{not json"}
    members |= {"c.json": b'{"caption": "No photo"}', "d.jpg": good[:90], "d.json": b'{"caption": "Cut"}'}
    members |= {
        "e.jpg": b"",
        "e.txt": b"Empty",
        "f.x": b"",
        "README": b"no sample",
        "g.10.jpg": good,
        "g.2.jpg": good[:-9] + good[-9:],
    }
    members |= {"g.txt": b"Two photos"}
    file = write_tar(tmp_path / "a.tar", members)
    catalogue = open_catalogue(f"webdataset:{file}", on_bad_row="skip", progress=False)
    assert [(p.product_id, p.captions) for p in catalogue] == [("a", ("A red dress",)), ("g", ("Two photos",))]
    assert catalogue.bad_rows == {"no text": 2, "damaged sample": 1, "no image": 1, "broken image": 2}
    assert len(catalogue[1].images) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_two_processes_and_their_workers_lose_and_double_nothing(folder, workers):
    """Uneven shards (10, 10, 5), 2 ranks, 2 workers each, a batch size that divides nothing."""
    catalogue = open_catalogue(f"webdataset:{folder}", "train", tags=TAGS, progress=False)
    seen = Counter()
    for rank in range(2):
        sampler = StepSampler(25, 5, start=0, stop=10, seed=3, rank=rank, world=2)
        keys = KeyedByStep(catalogue)
        for batch in DataLoader(keys, batch_sampler=sampler, num_workers=workers, collate_fn=list):
            seen.update(batch)
    assert len(seen) == 50 and set(seen.values()) == {1}  # every product once in each of two epochs


class KeyedByStep:
    """Products by the keys of a `StepSampler`: the epoch, the id, and what its first photo's bytes hash to."""

    def __init__(self, catalogue):
        self.catalogue = catalogue

    def __getitem__(self, key):
        product = self.catalogue[key[1]]
        assert product.images[0].startswith(b"\xff\xd8")
        return key[0], product.product_id


def test_a_later_start_reads_the_same_products(folder):
    catalogue = KeyedByStep(open_catalogue(f"webdataset:{folder}", "train", progress=False))
    steps = [[catalogue[key] for key in batch] for batch in StepSampler(25, 4, start=0, stop=9, seed=1)]
    assert [[catalogue[key] for key in batch] for batch in StepSampler(25, 4, start=5, stop=9, seed=1)] == steps[5:]


def test_pickles_small_and_reads_the_same(folder):
    catalogue = Subset(open_catalogue(f"webdataset:{folder}", "train", tags=TAGS, progress=False), range(6))
    data = pickle.dumps(catalogue)
    assert len(data) < 2000 and list(pickle.loads(data)) == list(catalogue)


def test_each_shard_is_gone_through_once(folder, monkeypatch):
    through = []
    real = tar_samples._members
    monkeypatch.setattr(tar_samples, "_members", lambda file: through.append(file.name) or real(file))
    for tags in (TAGS, ("brand",), TAGS):
        open_catalogue(f"webdataset:{folder}", "train", tags=tags, progress=False)
    assert sorted(through) == [f"train-00000{number}.tar" for number in range(3)]
    (folder / "train-000003.tar").write_bytes((folder / "test-000000.tar").read_bytes())
    assert len(open_catalogue(f"webdataset:{folder}", "train", progress=False)) == 28
    assert len(through) == 4


def test_a_file_that_falls_out_of_the_open_ones_is_read_to_the_end(folder, monkeypatch):
    """As when two threads open a shard at once: nobody but the reader holds it."""
    catalogue = open_catalogue(f"webdataset:{folder}", "train", progress=False)
    expected = [list(product.images) for product in catalogue]
    monkeypatch.setattr(shard_files, "_opened", shard_files._opened.__wrapped__)
    assert [list(product.images) for product in catalogue] == expected


def test_the_command(table, tmp_path, monkeypatch, capsys):
    from e2 import cli

    out = str(tmp_path / "made")
    command = ["e2", "data", "import", table, "--tags", "brand", "--to", "webdataset", "--shard-size", "20", "--out", out]
    monkeypatch.setattr("sys.argv", command)
    for status, said in ((0, "train (25 products), test (3 products)"), (2, "a finished imported catalogue already")):
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        assert left.value.code == status and said in " ".join((captured.out + captured.err).split())
    assert len(list((tmp_path / "made").glob("train-*.tar"))) == 2


def test_patterns(folder):
    def count(pattern, split="train"):
        return len(open_catalogue(f"webdataset:{folder}/{pattern}", split, progress=False))

    assert count("train-{000000..000002}.tar") == 25
    assert count("train-00000[01].tar") == 20
    assert count("{train,test}-000000.tar") == 10 and count("{train,test}-*.tar", "test") == 3


def error_of(argument, **options):
    with pytest.raises(InputError) as caught:
        open_catalogue(f"webdataset:{argument}", "train", progress=False, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_clear_errors(folder, tmp_path):
    assert "must be files" in error_of("pipe:cat a.tar") and "by braces" in error_of("https://example.org/*.tar")
    assert "000003.tar and 1 more are missing" in error_of(f"{folder}/train-{{000000..000004}}.tar")
    assert "no such shard" in error_of(f"{tmp_path}/nothing-*.tar")
    (folder / "extra.tar").write_bytes(b"")
    assert "extra.tar names no split" in error_of(folder)
    cut = tmp_path / "cut.tar"
    cut.write_bytes((folder / "train-000000.tar").read_bytes()[:5000])
    assert "cannot be read as a tar file" in error_of(cut)
    cut.write_bytes(b"\x1f\x8b compressed")
    assert "not compressed" in error_of(cut)
    assert "no column 'fabric'; it has product_id, image, caption" in error_of(folder / "train-000000.tar", tags=["fabric"])
    write_tar(cut, {})
    assert "there are no products" in error_of(cut)


def test_a_shard_that_is_cut_after_opening_gives_bad_photos(folder):
    catalogue = open_catalogue(f"webdataset:{folder}", "test", progress=False)
    file = folder / "test-000000.tar"
    contents = file.read_bytes()
    file.write_bytes(contents[:700])
    with pytest.raises(BadImage, match="ends within it"):
        catalogue[0].images[0]
    file.unlink()
    shard_files._opened.cache_clear()
    with pytest.raises(BadImage, match="no such file"):
        catalogue[1].images[0]


def test_a_failed_import_leaves_nothing(table, tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    file = tmp_path / "a.jsonl"
    file.write_text(
        '{"product_id": 1, "image": "a.jpg", "caption": "A"}\n{"product_id": 2, "image": "b.jpg", "caption": "B"}\n'
    )
    with pytest.raises(InputError, match="missing image file"):
        import_catalogue(str(file), tmp_path / "out", to="webdataset", progress=False)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    with pytest.raises(InputError, match="choose parquet or webdataset"):
        import_catalogue(table, tmp_path / "out", to="zip", progress=False)


def packed(path, *members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def said_of(path):
    with pytest.raises(InputError) as refused:
        open_catalogue(f"webdataset:{path}", progress=False)
    return str(refused.value)


def test_files_and_keys_named_twice_are_told_not_joined(tmp_path):
    jpg, txt = ("a.jpg", encoded(photo(1))), ("a.txt", b"a red coat")
    assert "files named twice (.jpg occurs 2 times" in said_of(packed(tmp_path / "1.tar", jpg, txt, jpg, txt))
    assert "its json names 'caption' twice" in said_of(
        packed(tmp_path / "2.tar", jpg, ("a.json", b'{"caption": "red", "caption": "blue"}'))
    )
    one, other = packed(tmp_path / "3.tar", jpg, txt), packed(tmp_path / "4.tar", ("b.jpg", jpg[1]), ("b.txt", txt[1]))
    (tmp_path / "both.tar").write_bytes(one.read_bytes() + other.read_bytes())
    assert "more follows its end" in said_of(tmp_path / "both.tar")


def test_what_a_sample_has_in_place_of_a_text_is_told(tmp_path):
    jpg = ("a.jpg", encoded(photo(1)))
    assert "no text (caption not among the keys: 'title price')" in said_of(
        packed(tmp_path / "1.tar", jpg, ("a.json", b'{"title": "a red coat", "price": 3}'))
    )
    nothing = ("a.json", b'{"caption": ""}')
    (product,) = open_catalogue(f"webdataset:{packed(tmp_path / '2.tar', jpg, nothing, ('a.txt', b'red'))}", progress=False)
    assert (product.product_id, product.captions) == ("a", ("red",))


def test_a_sparse_file_is_no_photo(tmp_path):
    if not shutil.which("tar"):
        pytest.skip("no tar program")
    with (tmp_path / "a.jpg").open("wb") as file:
        file.write(encoded(photo(1)))
        file.truncate(1 << 20)
    (tmp_path / "a.txt").write_text("red")
    subprocess.run(["tar", "-S", "-cf", "s.tar", "a.jpg", "a.txt"], cwd=tmp_path, check=True)
    assert "no image" in said_of(tmp_path / "s.tar")
