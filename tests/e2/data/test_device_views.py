"""Views made on a device, here a CPU, against those that the loader's workers make with torchvision's decoder."""

import io
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from e2.data import Product, decoders, device_views
from e2.data.colour_jitter import ColourJitter, changed, changed_pixels, colour_change
from e2.data.decoders import NVJPEG, TORCHVISION, require_decoder
from e2.data.device_views import DevicePixels, DeviceTransform
from e2.data.images import BadImage, load_for_device
from e2.data.loader import StepSampler, TrainingViews, training_loader
from e2.data.lost import LostPhoto
from e2.data.photo_views import PhotoViews
from e2.data.rgb import ORIENTATION
from e2.data.seeds import drawing_from
from e2.data.transforms import ResizePixels, training_transform
from e2.errors import InputError
from e2.factory import create_model_and_transforms, get_tokenizer
from tests.command import run_command
from tests.conftest import jpeg
from tests.e2.data.conftest import encoded, photo
from tests.e2.training.stops import last_weights, resumed_weights

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
CPU = torch.device("cpu")
LEVEL = 1 / 255 / 0.26  # one of 255, in the model's input


def smooth(width, height, seed=3):
    return photo(seed, (6, 8)).resize((width, height), Image.Resampling.BICUBIC)


def lying():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return {"exif": exif}


FOR_DEVICE = {
    "plain": encoded(smooth(60, 80), quality=90),
    "progressive": encoded(smooth(71, 45, 1), progressive=True),
    "grey": encoded(smooth(50, 50, 2).convert("L")),
    "narrow": encoded(smooth(1, 17, 4)),
    "full chroma": encoded(smooth(33, 90, 5), subsampling="4:4:4"),
}
FOR_WORKERS = {
    "png": encoded(smooth(40, 60, 6), "PNG"),
    "transparent": encoded(Image.new("RGBA", (32, 20), (255, 0, 0, 90)), "PNG"),
    "wide grey": encoded(Image.new("I;16", (32, 32), 128 << 8), "PNG"),
    "cmyk": encoded(smooth(40, 40, 7).convert("CMYK")),
    "lying": encoded(smooth(40, 70, 8), **lying()),
    "long": encoded(smooth(315, 15, 9)),
    "one after another": encoded(smooth(40, 40, 10)) + b"more",
    "components called RGB": encoded(smooth(40, 40, 11), keep_rgb=True),
}
PHOTOS = [data for pair in zip(FOR_WORKERS.values(), [*FOR_DEVICE.values()] * 2, strict=False) for data in pair]


class Shelf(list):
    """A catalogue of photos."""

    name, split, tags = "shelf", "train", ("brand",)


def shelf(photos=tuple(PHOTOS)):
    values = {"brand": "Nike", "season": "Summer"}
    return Shelf(Product(f"p{n}", (data,), ("A tee", "A shirt"), values) for n, data in enumerate(photos))


@pytest.fixture
def plain(tiny):
    return transform(tiny)


def transform(tiny, augment="strong", resize_mode="squash", decoder=TORCHVISION):
    visual = create_model_and_transforms(tiny)[0].visual
    visual.preprocess_cfg = {**visual.preprocess_cfg, "resize_mode": resize_mode}
    return training_transform(visual, augment, decoder)


def batches(transform, catalogue, *, workers=0, stop=4, size=6, **options):
    views = TrainingViews(catalogue, transform, ("brand",), text="mixed", prompt="{tag}", seed=0, **options)
    sampler = StepSampler(len(views), size, start=0, stop=stop, seed=1)
    return list(training_loader(views, sampler, get_tokenizer("e2-nano"), workers=workers, pin_memory=False))


def assert_equal(made, expected):
    """Everything that is drawn is the same; pixels differ by one level at most, where a compiler joins a product and a sum."""
    assert len(made) == len(expected) > 1
    for ours, theirs in zip(made, expected, strict=True):
        assert torch.equal(ours.tokens, theirs.tokens) and torch.equal(ours.text_index, theirs.text_index)
        assert isinstance(ours.images, DevicePixels) and len(ours.images) == len(theirs.images)
        difference = (ours.images.to(CPU) - theirs.images).abs()
        assert difference.max() <= 1.01 * LEVEL and (difference > 0).float().mean() < 0.01


@pytest.mark.parametrize("resize_mode", ["squash", "shortest"])
@pytest.mark.parametrize("views", [None, 2])
def test_views_of_all_kinds_of_photos_are_those_of_workers(tiny, resize_mode, views):
    plain = transform(tiny, resize_mode=resize_mode)
    ours = batches(DeviceTransform(plain, CPU), shelf(), views=views)
    assert_equal(ours, batches(plain, shelf(), views=views))


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_workers_of_their_own_and_small_portions_change_nothing(tiny, monkeypatch, augment):
    plain = transform(tiny, augment)
    expected = batches(plain, shelf())
    monkeypatch.setattr(device_views, "AT_ONCE", 3000)  # about one photo
    assert_equal(batches(DeviceTransform(plain, CPU), shelf(), workers=2), expected)


def test_batches_for_the_device_alone_or_for_workers_alone(plain):
    for photos in (FOR_DEVICE.values(), FOR_WORKERS.values()):
        catalogue = shelf(tuple(photos) * 2)
        assert_equal(batches(DeviceTransform(plain, CPU), catalogue), batches(plain, catalogue))


def test_what_is_for_the_device_is_only_read():
    for data in FOR_DEVICE.values():
        height, width = np.asarray(Image.open(io.BytesIO(data))).shape[:2]
        assert load_for_device(data, 40) == (data, (height, width))
    for name, data in FOR_WORKERS.items():
        assert not isinstance(load_for_device(data, 40), tuple), name


def test_large_photos_are_resized_from_all_of_their_pixels(plain):
    """Workers have Pillow shrink them while it decodes."""
    catalogue = shelf([encoded(smooth(900, 1200, seed), quality=92) for seed in range(4)])
    ours, theirs = (batches(way, catalogue, size=4, stop=2) for way in (DeviceTransform(plain, CPU), plain))
    for one, other in zip(ours, theirs, strict=True):
        assert 0 < (one.images.to(CPU) - other.images).abs().mean() < 0.02  # of values with unit variance


def test_a_view_is_drawn_as_its_steps_draw_it(plain):
    """The steps written out: window, mirror, colours."""
    data = FOR_DEVICE["plain"]
    resize = next(step for step in plain.transforms if isinstance(step, ResizePixels))
    for seed in range(6):
        with drawing_from(seed):
            resized = resize(Image.open(io.BytesIO(data)).convert("RGB"))
            top, left, height, width = transforms.RandomCrop.get_params(resized, (32, 32))
            view = resized.crop((left, top, left + width, top + height))
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else view
            factors = 2 * torch.rand(4) - 1
            change = colour_change(*(1 + 0.3 * factors[:3]).tolist(), 0.03 * factors[3].item())
            after = torch.rand(3)
        with drawing_from(seed):
            pixels = plain.pixels(data)
            assert torch.equal(after, torch.rand(3))
        with drawing_from(seed):
            draw = DeviceTransform(plain, CPU)(data).draw
            assert torch.equal(after, torch.rand(3))
        assert draw.corner == (top, left) and [*draw.change.colours, draw.change.grey] == pytest.approx(
            [*change.colours, change.grey], abs=1e-6
        )
        theirs = torch.from_numpy(np.asarray(changed(view, change)).copy()).permute(2, 0, 1)
        assert (pixels.int() - theirs.int()).abs().max() <= 1


def test_colours_of_a_batch_change_as_pillow_changes_each():
    photos, jitter = [photo(seed, (30, 20)) for seed in range(5)], ColourJitter(0.5, 0.1)
    changes = [jitter.draw() for _ in photos]
    batch = torch.stack([torch.from_numpy(np.asarray(one).copy()).permute(2, 0, 1) for one in photos])
    theirs = np.stack([np.asarray(changed(one, change), int) for one, change in zip(photos, changes, strict=True)])
    ours = changed_pixels(batch, changes).permute(0, 2, 3, 1).numpy().astype(int)
    assert np.abs(ours - theirs).max() <= 1 and (ours != theirs).mean() < 0.001 and (theirs == 255).any()


def test_what_the_device_refuses_pillow_decodes(plain, monkeypatch):
    load, refused = decoders._decode_jpeg(), len(FOR_DEVICE["grey"])

    def decode(jpegs, **options):
        if any(len(jpeg) == refused for jpeg in jpegs):
            raise RuntimeError("nvjpegDecode failed: 2")
        return load(jpegs, **options)

    catalogue = shelf(tuple(FOR_DEVICE.values()) * 2)
    expected = batches(plain, catalogue)
    monkeypatch.setattr(decoders, "_decode_jpeg", lambda: decode)
    assert_equal(batches(DeviceTransform(plain, CPU), catalogue), expected)


def unsound(data):
    """A JPEG with its end, whose table of codes is nonsense: only decoding finds out."""
    place = data.index(b"\xff\xc4") + 5
    return data[:place] + b"\xff" * 16 + data[place + 16 :]


BROKEN = {"cut": jpeg((9, 9, 9), 0)[:-30], "empty": b"", "text": b"hello", "unsound": unsound(jpeg((9, 9, 9), 0))}


@pytest.mark.parametrize(("kind", "workers"), [*((kind, 0) for kind in BROKEN), ("unsound", 1)])
def test_a_photo_that_broke_is_told_and_replaced_as_ever(plain, capsys, kind, workers):
    catalogue = shelf([*FOR_DEVICE.values(), BROKEN[kind], FOR_WORKERS["png"]])
    found = {}
    for name, way in (("ours", DeviceTransform(plain, CPU)), ("theirs", plain)):
        made = batches(way, catalogue, workers=workers, size=7, on_bad_row="skip", stop=2)
        with pytest.raises(LostPhoto, match="product 'p5'") as lost:
            batches(way, catalogue, workers=workers, size=7, stop=2)
        found[name] = (made, str(lost.value), capsys.readouterr().err)
    assert found["ours"][1:] == found["theirs"][1:] and "product 'p5'" in found["ours"][2]
    for ours, theirs in zip(found["ours"][0], found["theirs"][0], strict=True):
        assert torch.equal(ours.tokens, theirs.tokens)
        assert (ours.images.to(CPU) - theirs.images).abs().max() <= 1.01 * LEVEL


def test_the_broken_photo_is_one_that_only_decoding_tells():
    assert isinstance(load_for_device(BROKEN["unsound"]), tuple)
    with pytest.raises(BadImage, match="cannot be decoded"):
        device_views.load_image(BROKEN["unsound"])


def test_a_cache_holds_what_workers_decode(plain):
    """They make its views, once for all runs, so its key is that of torchvision's decoder."""
    ours, theirs = PhotoViews(shelf(), DeviceTransform(plain, CPU)), PhotoViews(shelf(), plain)
    assert repr(ours.transform) == repr(theirs.transform)
    assert all(torch.equal(ours.pixels(0, row, []), theirs.pixels(0, row, [])) for row in range(len(ours)))


@pytest.mark.parametrize(("augment", "resize_mode"), [("none", "squash"), ("light", "longest")])
def test_views_that_pillow_resizes_are_refused(tiny, augment, resize_mode):
    with pytest.raises(InputError, match="data.decoder nvjpeg: Pillow resizes"):
        DeviceTransform(transform(tiny, augment, resize_mode), CPU)


def test_a_gpu_with_nvjpeg_is_asked_for_before_the_first_step(shop, tiny, tmp_path, monkeypatch):
    line = ["train", "--data", shop, "--backbone", tiny, "--tags", "brand", "--device", "cpu", "--set", "data.decoder=nvjpeg"]
    for further in ([], ["--dry-run"]):
        answer = run_command(*line, *further, "--out", tmp_path / "run")
        assert answer.status == 2 and "CUDA GPU" in answer.line and "torchvision or pillow" in answer.line
        assert "read and checked" not in answer.err and not (tmp_path / "run/log.csv").exists()
    monkeypatch.setattr(decoders, "decode_jpegs", mock.Mock(side_effect=RuntimeError("not compiled with nvJPEG support")))
    with pytest.raises(InputError, match="not compiled with nvJPEG support.*take torchvision or pillow"):
        require_decoder(NVJPEG, torch.device("cuda"))


@pytest.fixture
def allowed():
    """Runs on a CPU with the code of a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("e2.training.run.require_decoder", lambda name, device: None)
        yield


@pytest.mark.parametrize("further", ["", "--chunk-size 5", "--workers 2 --method clip"])
def test_a_run_learns_the_same_and_resumes_to_the_same_bits(shop, tiny, tmp_path, monkeypatch, allowed, further):
    settings = f"--set data.decoder={{}} --set data.augment=strong {further}"
    ours, theirs = (last_weights(settings.format(name), shop, tmp_path / name) for name in ("nvjpeg", "torchvision"))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)
    resumed = resumed_weights(settings.format("nvjpeg"), shop, tmp_path / "broken", monkeypatch)
    assert all(torch.equal(ours[name], resumed[name]) for name in ours)


def test_shards_and_a_cache(shop, tiny, tmp_path, monkeypatch, allowed):
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "cache"))
    shards = tmp_path / "shards"
    assert run_command("data", "import", shop, "--to", "webdataset", "--tags", "brand", "--out", shards).status == 0
    cached = (
        f"--method clip --cache {tmp_path / 'kept'} --set optim.image_layers=0 --set data.views=2 --set data.augment=light"
    )
    for number, further in enumerate(["", cached]):
        settings = f"--set data.decoder={{}} {further}"
        ours, theirs = (
            last_weights(settings.format(name), f"webdataset:{shards}", tmp_path / f"{name}{number}")
            for name in ("nvjpeg", "torchvision")
        )
        assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)
    assert len(list((tmp_path / "kept").glob("*/cache.json"))) == 2  # of train and val: the second run wrote nothing


def test_the_gpu_decodes_beside_the_step_and_is_waited_for_where_it_must_be(plain, monkeypatch):
    """Order of the calls, without a GPU. Decoding may overwrite what a stream has yet to read (pytorch/vision #9606)."""
    calls, made = mock.Mock(), mock.Mock()
    views = DeviceTransform(plain, torch.device("cuda"))
    monkeypatch.setattr(device_views, "_stream", lambda device: calls.beside)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: calls.step)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: mock.MagicMock(__enter__=lambda context: calls.enter(stream)))
    monkeypatch.setattr(views, "_finish", lambda photos: calls.finish() and made)
    assert views.finish(device_views.DevicePhotos(torch.zeros(0), [], [], None)) is made
    enter, finish, wait = mock.call.enter(calls.beside), mock.call.finish(), mock.call.step.wait_stream(calls.beside)
    assert calls.mock_calls[:3] == [enter, finish, wait]
    for tensor in (made.pixels, made.mean, made.deviation):
        tensor.record_stream.assert_called_once_with(calls.step)
    monkeypatch.setattr(decoders, "_decode_jpeg", lambda: calls.decode)
    decoders.decode_jpegs([torch.zeros(1)], torch.device("cuda"))
    assert [call[0] for call in calls.mock_calls[-2:]] == ["step.synchronize", "decode"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="nvJPEG decodes on CUDA GPUs only")
def test_a_gpu_makes_nearly_the_same_views(plain):
    device = torch.device("cuda")
    require_decoder(NVJPEG, device)
    ours, theirs = batches(DeviceTransform(plain, device), shelf()), batches(plain, shelf())
    for one, other in zip(ours, theirs, strict=True):
        assert (one.images.to(device).cpu() - other.images).abs().mean() < 0.05  # of values with unit variance
