import pickle

import numpy as np
import pytest
from PIL import Image

from e2.data.images import BadImage, MissingImage, check_image, load_image
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
    ],
)
def test_every_mode_becomes_rgb(image, kind, colour):
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert centre(load_image(data)) == colour
    check_image(data)


def test_transparent_palette_lies_on_white():
    image = solid("P", 0)
    image.putpalette([255, 0, 0] * 256)
    assert centre(load_image(encoded(image, "PNG", transparency=0))) == (255, 255, 255)


def test_cmyk_jpeg_keeps_its_colour():
    red, green, blue = centre(load_image(encoded(solid("CMYK", (0, 255, 255, 0), (32, 32)))))
    assert red > 240 and green < 20 and blue < 20


def test_first_frame_of_an_animation():
    frames = [solid("RGB", (0, 255, 0)), solid("RGB", (255, 0, 0))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert centre(load_image(data)) == (0, 255, 0)


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


@pytest.mark.parametrize(("data", "cause"), [(b"", "empty"), (b"hello", "not an image"), (b"%!PS-Adobe-3.0", "not an")])
def test_no_image_at_all(data, cause):
    with pytest.raises(BadImage, match=cause):
        load_image(data)


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 10_000)])  # Pillow raises on the first, warns on the second
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_are_refused(size):
    with pytest.raises(BadImage, match="bomb"):
        load_image(encoded(Image.new("1", size), "PNG"))


@pytest.mark.parametrize("path", ["absent.jpg", "."])
def test_missing_file(tmp_path, path):
    with pytest.raises(MissingImage, match="no such file"):
        load_image(tmp_path / path)


def test_error_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(MissingImage("a.jpg", "there is no such file")))
    assert isinstance(error, MissingImage) and error.cause == "there is no such file"
