import contextlib
import io
import pickle
import struct
import sys
import types
import zlib

import numpy as np
import pytest
import torchvision
from PIL import Image, ImageFile

from e2.data import images
from e2.data.images import BadImage, MissingImage, as_photo, check_image, load_image
from e2.data.rgb import known_formats
from e2.data.transforms import AUGMENTATIONS, NONE, training_transform
from e2.factory import create_model_and_transforms
from tests.e2.data.conftest import encoded, photo


def solid(mode, colour, size=(8, 8)):
    return Image.new(mode, size, colour)


def centre(image):
    assert image.mode == "RGB"
    return image.getpixel((image.width // 2, image.height // 2))


def test_jpeg_bytes_and_path_give_the_same_picture(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(encoded(photo()))
    from_path, from_bytes = load_image(file), load_image(file.read_bytes())
    assert from_path.size == (24, 32)
    assert np.array_equal(np.asarray(from_path), np.asarray(from_bytes))


def drawn(width, height):
    """Photo-like: soft shapes, a fine texture."""
    coarse = photo(3, (12, 9)).resize((width, height), Image.Resampling.BICUBIC)
    texture = 20 * np.sin(np.arange(width) / 3)[None, :, None]
    return Image.fromarray(np.clip(np.asarray(coarse) + texture, 0, 255).astype(np.uint8))


def test_large_jpegs_are_decoded_smaller_where_that_is_enough():
    data = encoded(drawn(1600, 1200), quality=92)
    whole = load_image(data)
    assert whole.size == (1600, 1200) and load_image(data, 400).size == (1600, 1200)
    assert load_image(data, 300).size == (800, 600) and load_image(data, 150).size == (400, 300)
    small = [np.asarray(load_image(data, enough).resize((200, 150), Image.Resampling.BICUBIC), int) for enough in (None, 150)]
    assert np.abs(small[0] - small[1]).mean() < 1 and np.abs(small[0] - small[1]).max() < 20
    assert load_image(encoded(drawn(1600, 1200), "PNG"), 10).size == (1600, 1200)
    with pytest.raises(BadImage, match="truncated"):
        load_image(data[:-200], 100)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_jpeg(orientation):
    """Red in the corner that ends up at the top left (EXIF 2.3, orientation tag)."""
    upright = Image.new("RGB", (32, 16), "white")
    upright.paste("red", (0, 0, 8, 8))
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    undo |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = upright.transpose(Image.Transpose[undo[orientation]]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = load_image(encoded(stored, quality=95, exif=exif))
    assert shown.size == (32, 16)
    red, green, blue = shown.getpixel((3, 3))
    assert red > 200 and green < 80 and blue < 80 and min(shown.getpixel((28, 12))) > 200


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    picture = photo()
    turned = load_image(encoded(picture, "PNG", exif=exif))
    assert np.array_equal(np.asarray(turned), np.asarray(picture.transpose(Image.Transpose.ROTATE_270)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_spoils_no_picture():
    data = encoded(photo(), exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff garbage")
    assert load_image(data).size == (24, 32)


@pytest.mark.parametrize(
    ("image", "kind", "colour"),
    [
        (solid("L", 100), "PNG", (100, 100, 100)),
        (solid("1", 1), "PNG", (255, 255, 255)),
        (solid("RGBA", (0, 0, 0, 0)), "PNG", (255, 255, 255)),
        (solid("RGBA", (255, 0, 0, 255)), "WEBP", (255, 0, 0)),
        (solid("LA", (0, 0)), "PNG", (255, 255, 255)),
        (solid("RGB", (0, 0, 255)).convert("P", palette=Image.Palette.ADAPTIVE), "GIF", (0, 0, 255)),
        (solid("I;16", 65535), "PNG", (255, 255, 255)),
        (solid("I;16", 128 << 8), "PNG", (128, 128, 128)),
        (solid("I;16", 128 << 8), "TIFF", (128, 128, 128)),
        (solid("I", 128), "TIFF", (128, 128, 128)),
        (solid("I", 128 << 8), "TIFF", (128, 128, 128)),
        (solid("F", 0.5), "TIFF", (128, 128, 128)),
        (solid("F", 128.0), "TIFF", (128, 128, 128)),
        (solid("F", 32768.0), "TIFF", (128, 128, 128)),
        (solid("CMYK", (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(image, kind, colour):
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert centre(load_image(data)) == colour
    assert centre(as_photo(Image.open(io.BytesIO(data)))) == colour
    check_image(data)


@pytest.mark.parametrize(
    "mode",
    [
        "1",
        "L",
        "P",
        "RGB",
        "RGBA",
        "CMYK",
        "YCbCr",
        "LAB",
        "HSV",
        "I",
        "F",
        "LA",
        "PA",
        "RGBX",
        "RGBa",
        "La",
        "I;16",
        "I;16L",
        "I;16B",
        "I;16N",
    ],
)
def test_pictures_of_every_mode_of_pillows_are_taken(mode):
    picture = solid(mode, 0)
    assert as_photo(picture).mode == "RGB" and picture.mode == mode
    assert np.array_equal(np.asarray(as_photo(as_photo(picture))), np.asarray(as_photo(picture)))


def test_values_that_are_no_numbers_are_no_picture():
    with pytest.raises(BadImage, match="not numbers"):
        load_image(encoded(solid("F", float("nan")), "TIFF"))


def test_transparent_palette_lies_on_white():
    image = solid("P", 0)
    image.putpalette([255, 0, 0] * 256)
    assert centre(load_image(encoded(image, "PNG", transparency=0))) == (255, 255, 255)


def test_cmyk_jpeg_keeps_its_colour():
    red, green, blue = centre(load_image(encoded(solid("CMYK", (0, 255, 255, 0), (32, 32)))))
    assert red > 240 and green < 20 and blue < 20


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_first_frame_of_an_animation(kind, options):
    frames = [solid("RGB", (0, 255, 0)), solid("RGB", (255, 0, 0))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert centre(load_image(data)) == (0, 255, 0)
    check_image(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (16_000, 8)])
def test_odd_sizes(kind, size):
    data = encoded(solid("RGB", (0, 0, 255), size), kind)
    check_image(data)
    assert load_image(data).size == size and centre(load_image(data))[2] > 200


def test_twenty_thousand_pixels_wide_goes_through_the_transform(tiny):
    data = encoded(solid("RGB", (0, 0, 255), (20_000, 40)))
    pixels = training_transform(create_model_and_transforms(tiny)[0].visual, "strong")(load_image(data))
    assert pixels.shape == (3, 32, 32)


def test_photos_too_thin_to_show_anything_are_bad():
    data = encoded(solid("RGB", "red", (1, 60_000)), "PNG")  # a few hundred bytes; resized by its shorter side 9 GB
    assert len(data) < 500
    for read in (load_image, check_image, lambda data: as_photo(Image.open(io.BytesIO(data)))):
        with pytest.raises(BadImage, match="1 x 60000 pixels are too thin"):
            read(data)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(224, 224), (96, 64)])
@pytest.mark.parametrize("photo_size", [(1, 2000), (2000, 1)])
def test_what_a_resize_makes_is_bounded(mode, size, photo_size, monkeypatch):
    made = []
    for kind in (Image.Image, torchvision.transforms.functional):
        watched(kind, "resize", made, monkeypatch)
    watched(torchvision.transforms.v2.functional, "resize", made, monkeypatch)
    rule = {"size": size, "resize_mode": mode, "interpolation": "bicubic", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    visual = types.SimpleNamespace(preprocess_cfg={**rule, "fill_color": 0})
    steps = [training_transform(visual, augment) for augment in (NONE, *AUGMENTATIONS)]
    for transform in steps:
        assert transform(solid("RGB", "red", photo_size)).shape == (3, *size)
    assert made and max(made) < 40 * max(size) ** 2


def watched(place, name, made, monkeypatch):
    """Notes the pixels of everything that a function makes."""
    original = getattr(place, name)

    def function(*args, **kwargs):
        picture = original(*args, **kwargs)
        made.append(picture.shape[-1] * picture.shape[-2] if hasattr(picture, "shape") else picture.width * picture.height)
        return picture

    monkeypatch.setattr(place, name, function)


def test_sixteen_bit_colour(tmp_path):
    """Pillow writes none, so by hand: a PNG of one pixel, 16 bits a channel, (0x8000, 0, 0xffff)."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header, line = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0), b"\0" + struct.pack(">HHH", 0x8000, 0, 0xFFFF)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(line)) + chunk(b"IEND", b"")
    assert centre(load_image(data)) == (0x80, 0, 0xFF)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_cut_files_are_refused_by_both_loading_and_checking(kind, share):
    data = encoded(photo(size=(120, 160)), kind)
    for read in (load_image, check_image):
        with pytest.raises(BadImage):
            read(data[: int(len(data) * share)])


def test_check_finds_every_cut_that_loading_finds():
    """The check reads JPEG in draft mode: it must still notice the loss of the last few bytes."""
    for options in ({}, {"progressive": True}):
        data = encoded(photo(size=(120, 160)), **options)
        for cut in (*range(1, 40), *range(100, len(data), 1500)):
            for read in (load_image, check_image):
                with pytest.raises(BadImage):
                    read(data[:-cut])


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "it is empty"),
        (b"hello", "not an image of a known format"),
        (b"%!PS-Adobe-3.0", "PostScript"),
        (b"\n<!DOCTYPE html><html>404 Not Found", "a web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a drawing"),
        (b"<?xml version='1.0'?><!-- by hand --><svg/>", "a drawing"),
        (b"%PDF-1.7", "a PDF"),
        (b"\0\0\0\x20ftypisom", "a video"),
        (b"PK\x03\x04", "an archive"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b'{"error": "expired"}', "JSON"),
    ],
)
def test_no_image_at_all(data, cause):
    with pytest.raises(BadImage, match=cause):
        load_image(data)
    with pytest.raises(BadImage, match=cause):
        check_image(data)


def heif_plugin(name):
    """A stand-in for a plugin of Pillow's that reads HEIC: a red picture, whatever the bytes."""

    class HeifImageFile(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._size, self._mode, self.tile = (8, 8), "RGB", []

        def load(self):
            self.im = solid("RGB", "red").im

    plugin = types.ModuleType(name)
    plugin.register_heif_opener = lambda: Image.register_open("HEIF", HeifImageFile, lambda head: head[4:12] == b"ftypheic")
    return plugin


@pytest.mark.parametrize("plugin", [None, "pillow_heif", "pi_heif"])
def test_heic_needs_a_plugin_and_says_so(monkeypatch, plugin):
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    for name in ("pillow_heif", "pi_heif"):
        monkeypatch.setitem(sys.modules, name, heif_plugin(name) if name == plugin else None)
    for table in (Image.OPEN, Image.MIME):
        monkeypatch.delitem(table, "HEIF", raising=False)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    known_formats.cache_clear()
    if plugin is None:
        with pytest.raises(BadImage, match=r"it is a HEIC photo.*pip install 'e2-fashion\[heic\]'"):
            load_image(data)
    else:
        assert centre(load_image(data)) == (255, 0, 0)
        check_image(data)
        with pytest.raises(BadImage, match="it is damaged"):
            check_image(data.replace(b"ftypheic", b"ftypheix"))
    monkeypatch.undo()
    known_formats.cache_clear()


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 10_000)])  # Pillow raises on the first, warns on the second
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_are_refused(size):
    with pytest.raises(BadImage, match="bomb"):
        load_image(encoded(Image.new("1", size), "PNG"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_a_file_of_countless_tiny_parts_is_refused(kind, monkeypatch):
    """Comments of no length: Pillow takes seconds for a million, and longer for those that it joins one by one."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, kind)
    whole, empty = file.getvalue(), b"\0\0\0\0tEXt" + zlib.crc32(b"tEXt").to_bytes(4, "big")
    places = {"JPEG": (2, b"\xff\xfe\0\x02"), "PNG": (33, empty), "GIF": (13 + 3 * 2 ** ((whole[10] & 7) + 1), b"!\xfe\0")}
    place, part = places[kind]
    for count, refused in ((10, False), (2_000, True)):
        monkeypatch.setattr(images, "MOST_READS", 1_000)
        source = whole[:place] + count * part + whole[place:]
        for look in (check_image, load_image):
            with pytest.raises(BadImage, match="too many tiny parts") if refused else contextlib.nullcontext():
                look(source)


def test_a_jpeg_of_endless_scans_is_refused():
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "JPEG", progressive=True)
    start = file.getvalue().rindex(b"\xff\xda")
    head, scan = file.getvalue()[:start], file.getvalue()[start:-2]
    assert load_image(head + 20 * scan + b"\xff\xd9").size == (64, 64)
    with pytest.raises(BadImage, match="scans"):
        load_image(head + 600 * scan + b"\xff\xd9")


@pytest.mark.parametrize("path", ["absent.jpg", "."])
def test_missing_file(tmp_path, path):
    with pytest.raises(MissingImage, match="no such file"):
        load_image(tmp_path / path)


def test_error_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(MissingImage("a.jpg", "there is no such file")))
    assert isinstance(error, MissingImage) and error.cause == "there is no such file"


RAMP = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1))
TWELVE_BITS = (RAMP.astype(np.uint32) * 4095 // 255).astype(np.uint16)
GREY_TIFFS = {  # values, bits, photometric interpretation (0: white is zero), format of samples (2: signed, 3: float)
    "16 bits": (RAMP * np.uint16(257), 16, 1, 1),
    "16 bits, white is zero": (65535 - RAMP * np.uint16(257), 16, 0, 1),
    "16 bits, signed": (RAMP.astype(np.int16) * 128, 16, 1, 2),
    "12 bits": (None, 12, 1, 1),
    "32 bits": (RAMP.astype(np.uint32) * 0x1010101, 32, 1, 1),
    "32 bits, signed": ((RAMP.astype(np.int64) * 0x808080).astype(np.int32), 32, 1, 2),
    "16 bits in 32": (RAMP.astype(np.uint32) * 257, 32, 1, 1),
    "8 bits in 32": (RAMP.astype(np.int32), 32, 1, 2),
    "float, white is zero": ((1 - RAMP / 255).astype(np.float32), 32, 0, 3),
}


def packed(values):
    """Packs pairs of 12-bit values into 3 bytes."""
    first, second = values[:, ::2], values[:, 1::2]
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8)


@pytest.mark.parametrize(("values", "bits", "photometric", "kind"), GREY_TIFFS.values(), ids=GREY_TIFFS)
def test_grey_tiffs_of_any_depth_are_scaled_by_what_the_file_says(values, bits, photometric, kind):
    raw = (packed(TWELVE_BITS) if values is None else values).tobytes()
    side = len(RAMP)
    tags = [(256, side), (257, side), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, side)]
    tags += [(279, len(raw)), (339, kind)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    content = b"II*\0" + struct.pack("<I", 8 + len(raw)) + raw + struct.pack("<H", len(tags)) + directory + bytes(4)
    for photo_read in (load_image(content), as_photo(Image.open(io.BytesIO(content)))):
        assert np.abs(np.asarray(photo_read)[..., 0].astype(int) - RAMP).max() <= 1
