"""One photo gives the same pixels by every documented way, whatever kind of file it is."""

import ast
import io
import runpy
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image

import e2
from e2.adapters.encoder import load_encoder
from e2.adapters.export.photo_files import save_preprocessing
from e2.adapters.export.preprocess import pixels
from e2.adapters.export.writing import export, load_exported
from e2.data.images import BadImage
from e2.data.transforms import photo_transform
from tests.adapters.export.conftest import encoder_of

DRAWN = np.random.default_rng(0).integers(0, 256, (48, 36, 4), dtype=np.uint8)
GREY = DRAWN[..., 0].astype(np.float32)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return Image.fromarray(DRAWN[..., :3]), {"format": "JPEG", "quality": 95, "exif": exif}


def palette():
    return Image.fromarray(DRAWN[..., :3]).convert("P"), {"format": "PNG", "transparency": bytes(range(256))}


KINDS = {
    "rgb": lambda: (Image.fromarray(DRAWN[..., :3]), {"format": "PNG"}),
    "alpha": lambda: (Image.fromarray(DRAWN), {"format": "PNG"}),
    "grey and alpha": lambda: (Image.fromarray(DRAWN).convert("LA"), {"format": "PNG"}),
    "palette with transparency": palette,
    "turned by EXIF": turned,
    "16 bits": lambda: (Image.fromarray(DRAWN[..., 0].astype(np.uint16) << 8), {"format": "PNG"}),
    "one bit": lambda: (Image.fromarray(DRAWN[..., 0]).convert("1"), {"format": "PNG"}),
    "float 0..1": lambda: (Image.fromarray(GREY / 255), {"format": "TIFF"}),
    "float 0..255": lambda: (Image.fromarray(GREY), {"format": "TIFF"}),
    "CMYK": lambda: (Image.fromarray(DRAWN[..., :3]).convert("CMYK"), {"format": "JPEG"}),
}


@pytest.fixture(params=KINDS)
def file(request, tmp_path):
    picture, options = KINDS[request.param]()
    path = tmp_path / f"photo.{options['format'].lower()}"
    picture.save(path, **options)
    return path


@pytest.fixture(scope="module")
def exported(clip_checkpoint, tmp_path_factory):
    """format -> folder."""
    folder = tmp_path_factory.mktemp("every-format")
    for format in ("onnx", "open_clip", "transformers"):
        export(encoder_of(clip_checkpoint), folder / format, format)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def encoders(clip_checkpoint, exported):
    """Every way to vectors of one model."""
    encoders = {"checkpoint": encoder_of(clip_checkpoint)}
    for format, folder in exported.items():
        (encoders[format],) = load_exported(folder, workers=0, **({} if format == "onnx" else {"device": "cpu"}))
    return encoders


def test_vectors_are_the_same_by_every_way(file, clip_checkpoint, encoders, exported):
    expected = encoders["checkpoint"].encode_images([file], progress=False)[0]
    model, preprocess, _ = e2.load(clip_checkpoint)

    def vector(photo):
        with torch.inference_mode():
            return model.encode_image(torch.as_tensor(photo), normalize=True)[0].numpy()

    ways = {f"{name}, path": encoder.encode_images([file], progress=False)[0] for name, encoder in encoders.items()}
    ways |= {
        f"{name}, opened": encoder.encode_images([Image.open(file)], progress=False)[0] for name, encoder in encoders.items()
    }
    ways |= {"e2.load, path": vector(preprocess(file)[None]), "e2.load, opened": vector(preprocess(Image.open(file))[None])}
    for format, folder in exported.items():
        ways[f"preprocess.py of {format}"] = vector(runpy.run_path(str(folder / "preprocess.py"))["pixels"](file))
    for way, found in ways.items():
        resized_otherwise = way.startswith("transformers")  # by its own image processor
        assert expected @ found > (0.999 if resized_otherwise else 1 - 1e-6), way


def test_sentence_transformers_sees_the_same(file, clip_checkpoint, encoders):
    pytest.importorskip("sentence_transformers")
    from e2.adapters.programs.sentence_transformers_module import sentence_transformer

    expected = encoders["checkpoint"].encode_images([file], progress=False)[0]
    found = sentence_transformer(str(clip_checkpoint), device="cpu").encode([Image.open(file)], show_progress_bar=False)[0]
    assert expected @ found > 1 - 1e-6


def test_training_sees_the_same(file, tiny):
    _, train, val = e2.create_model_and_transforms(tiny, augment="none")
    assert torch.equal(train(file), val(file)) and torch.equal(train(file), train(Image.open(file)))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(32, 32), (48, 32), (20, 44)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_exported_rule_gives_the_very_pixels(tmp_path, mode, size, interpolation):
    rule = {"size": size, "resize_mode": mode, "interpolation": interpolation, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
    rule |= {"fill_color": 7}
    ours = photo_transform(rule)
    save_preprocessing(rule, ours, tmp_path)
    exported = runpy.run_path(str(tmp_path / "preprocess.py"))["pixels"]
    for width, height in ((36, 48), (48, 36), (3, 4), (200, 33), (1500, 2), (32, 32)):
        photo = Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 4), dtype=np.uint8))
        for theirs in (exported(photo), pixels(photo, rule)):
            assert theirs.dtype == np.float32
            assert_array_equal(theirs[0], ours(photo).numpy())


def test_the_exported_file_needs_numpy_and_pillow_only_and_refuses_what_ours_does(exported):
    for folder in exported.values():
        tree = ast.parse((folder / "preprocess.py").read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == {"numpy", "PIL"}
    code = runpy.run_path(str(exported["onnx"] / "preprocess.py"))
    thin = io.BytesIO()
    Image.new("RGB", (1, 60_000)).save(thin, "PNG")
    with pytest.raises(ValueError, match="too thin"):
        code["pixels"](thin)
    with pytest.raises(Image.UnidentifiedImageError):
        code["pixels"](io.BytesIO(b"%!PS-Adobe-3.0"))


def test_thin_photos_are_refused_by_every_encoder(encoders):
    for name, encoder in encoders.items():
        with pytest.raises(e2.InputError, match="too thin"):
            encoder.encode_images([Image.new("RGB", (1, 60_000))], progress=False)
        if name != "transformers":
            with pytest.raises(BadImage):
                encoder.preprocess(Image.new("RGB", (1, 60_000)))


def test_the_graphs_name_as_an_encoder_too(exported, file, encoders):
    onnx = load_encoder(f"onnx:{exported['onnx']}", workers=0)
    assert_array_equal(onnx.preprocess(file), encoders["checkpoint"].preprocess(file))
