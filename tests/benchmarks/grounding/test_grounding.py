"""The pointing game by hand, boxes through the transforms of open_clip, windows, and the runner."""

import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import nn

from e2.adapters.encoder import Encoder
from e2.benchmarks.grounding.evaluate import TagBoxes, evaluate_grounding, grounding_tables, score_maps
from e2.benchmarks.grounding.maps import centre, maps_of
from e2.benchmarks.grounding.metrics import coverage, mass_in_box, pointing, reachable
from e2.benchmarks.grounding.view import view_for
from e2.benchmarks.grounding.windows import best_windows, windows
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf, colour_encoder, png

LEFT_TOP = [0.0, 0.0, 0.5, 0.5]


def one_hot(row: int, column: int, size: int = 4) -> np.ndarray:
    grid = np.zeros((size, size))
    grid[row, column] = 1
    return grid


def test_pointing_by_hand():
    weights = np.stack([one_hot(1, 1), one_hot(2, 2), one_hot(1, 2)])[:, None]
    boxes = np.array([LEFT_TOP] * 3)
    assert pointing(weights, boxes).tolist() == [1, 0, 0]
    assert pointing(weights, boxes, 0.5 / 4).tolist() == [1, 1, 1]  # (2, 2) meets the box in a corner
    assert pointing(np.stack([one_hot(3, 3)])[:, None], boxes[:1], 1 / 4).tolist() == [0]


def test_shared_maxima_score_their_share_and_an_even_map_is_chance():
    two_tokens = np.stack([one_hot(0, 0), one_hot(3, 3)])[None]
    assert pointing(two_tokens, np.array([LEFT_TOP])).tolist() == [0.5]
    boxes = np.random.default_rng(0).uniform(0, 0.5, (50, 2))
    boxes = np.concatenate([boxes, boxes + 0.45], axis=1)
    centres = (np.arange(8) + 0.5) / 8
    inside = [
        np.mean([(x0 <= x <= x1) and (y0 <= y <= y1) for y in centres for x in centres]) for x0, y0, x1, y1 in boxes.tolist()
    ]
    np.testing.assert_allclose(pointing(np.ones((50, 1, 8, 8)), boxes), inside)


def test_mass_counts_half_covered_patches_half():
    box = np.array([[0.125, 0.0, 0.5, 1.0]])  # half of the first column, all of the second
    np.testing.assert_allclose(coverage(box, (2, 4))[0], [[0.5, 1, 0, 0]] * 2)
    np.testing.assert_allclose(mass_in_box(np.ones((1, 3, 2, 4)), box), [1.5 / 4])


def test_a_box_between_all_centres_cannot_be_hit():
    between = np.array([[0.2, 0.2, 0.3, 0.3], [0.1, 0.1, 0.3, 0.3]])  # centres of a 4 x 4 grid lie at 0.125, 0.375, ...
    assert reachable(between, (4, 4)).tolist() == [0, 1]
    assert reachable(between, (4, 4), 0.5 / 4).tolist() == [1, 1]


def test_centre_of_even_and_odd_grids():
    assert (centre((4, 4)) > 0).sum() == 4 and (centre((3, 5)) > 0).sum() == 1 and centre((3, 4)).sum() == pytest.approx(1)
    assert centre((3, 4))[1].tolist() == [0, 0.5, 0.5, 0]


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [(200, 100), (90, 160), (64, 64)])
@pytest.mark.parametrize("target", [(64, 64), (96, 64)])
def test_boxes_move_as_open_clips_own_transform_moves_pixels(mode, size, target):
    """A white rectangle painted into a black photo is found where the view says."""
    x0, y0, x1, y1 = 0.4, 0.3, 0.6, 0.75
    photo = Image.new("RGB", size)
    photo.paste((255, 255, 255), tuple(round(v * size[i % 2]) for i, v in enumerate((x0, y0, x1, y1))))
    transform = open_clip.image_transform(
        target, False, mean=(0,) * 3, std=(1,) * 3, resize_mode=mode, interpolation="bicubic"
    )
    lit = transform(photo)[0].clamp(0, 1)
    box = view_for({"size": target, "resize_mode": mode}, size).box((x0, y0, x1, y1))
    columns, rows = lit.sum(0), lit.sum(1)
    across, down = float(columns.max()), float(rows.max())  # lit height and width in pixels
    middle = [float((side * (torch.arange(len(side)) + 0.5)).sum() / side.sum()) for side in (columns, rows)]
    found = [middle[0] - down / 2, middle[1] - across / 2, middle[0] + down / 2, middle[1] + across / 2]
    expected = [edge * (target[1], target[0])[i % 2] for i, edge in enumerate(box)]
    np.testing.assert_allclose(found, expected, atol=1.0)


def test_a_box_that_the_crop_cuts_off_is_gone_and_pictures_show_what_is_seen():
    view = view_for({"size": 64, "resize_mode": "shortest"}, (200, 100))
    assert view.box((0, 0, 0.2, 1)) is None and view.box((0.25, 0, 0.75, 1)) == (0, 0, 1, 1)
    photo = Image.new("RGB", (200, 100), "red")
    photo.paste((0, 0, 255), (0, 0, 49, 100))
    assert view.picture(photo, 32).getcolors() == [(32 * 32, (255, 0, 0))]  # the blue part is cropped off
    padded = view_for({"size": 64, "resize_mode": "longest"}, (200, 100)).picture(photo, 32)
    assert padded.getpixel((5, 2)) == (255, 255, 255) and padded.getpixel((30, 16)) == (255, 0, 0)


def test_scores_leave_out_products_whose_place_is_not_known():
    truth = TagBoxes({"brand": np.array([LEFT_TOP, [np.nan] * 4])})
    scores = score_maps({"tokens": {"brand": np.stack([one_hot(0, 0), one_hot(0, 0)])}}, truth)
    assert scores.means()["pointing/tokens/brand"] == 100 and np.isnan(scores.values["mass/tokens/brand"][1])
    assert scores.samples(20, 0)["pointing/tokens/brand"].tolist().count(100) >= 10  # NaN where it was not drawn


class Patchy(nn.Module):
    """Embeds a photo as its mean colour."""

    def __init__(self):
        super().__init__()
        self.visual = nn.Module()
        self.visual.preprocess_cfg = {"size": 8, "resize_mode": "squash"}

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) + 1e-6


def test_the_best_window_lies_on_the_patch_of_the_texts_colour(monkeypatch, capsys):
    photo = Image.new("RGB", (64, 64))
    photo.paste((255, 0, 0), (16, 32, 32, 48))
    photo.paste((0, 255, 0), (40, 0, 56, 16))
    encoder = colour_encoder()
    encoder = Encoder(Patchy(), open_clip_pixels, encoder.tokenizer, encoder.info, device="cpu", workers=0)
    texts = {"a": np.array([[1.0, 0, 0]], dtype=np.float32), "b": np.array([[0, 1.0, 0]], dtype=np.float32)}
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal's progress bar, which is not part of the result
    found = best_windows(encoder, [photo], texts)
    assert capsys.readouterr().out == ""
    assert found["a"].tolist() == [[0.25, 0.5, 0.5, 0.75]] and found["b"].tolist() == [[0.625, 0, 0.875, 0.25]]
    assert len(windows()) == 49 + 9 and (windows() <= 1).all()


def open_clip_pixels(image: Image.Image) -> torch.Tensor:
    return open_clip.image_transform(8, False, mean=(0,) * 3, std=(1,) * 3, resize_mode="squash")(image)


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    regions = {"brand": (0.1, 0.1, 0.4, 0.4)}
    products = [
        Product(f"p{i}", [png(colour, (40, 40))], ("a shirt",), {"brand": "nike", "colour": colour}, regions)
        for i, colour in enumerate(("red", "green", "blue"))
    ]
    return Shelf(products, tags=("brand", "colour"))


def small(tiny: str, tags: tuple[str, ...] = (), run: str | None = None) -> Encoder:
    import e2

    torch.manual_seed(0)
    model, _, preprocess = e2.create_model_and_transforms(tiny, tags=tags)
    method = "e2" if tags else "clip"
    info = {"path": f"runs/{run or len(tags)}", "weights_sha256": "0" * 64, "backbone": tiny, "method": method}
    return Encoder(model, preprocess, e2.get_tokenizer(tiny), info, device="cpu", workers=0, batch_size=2)


def test_two_encoders_side_by_side(tiny, shelf, tmp_path):
    encoders = [small(tiny), small(tiny, ("brand", "colour"))]
    comparison = evaluate_grounding(encoders, shelf, out=tmp_path, resamples=20)
    plain, tokens = comparison.results
    assert (plain["protocol"], plain["n"], plain["places"], plain["grid"]) == ("boxes", 3, {"brand": 3}, [4, 4])
    assert maps_of(plain["metrics"]) == ["attention", "rollout", "gradient", "grad-cam", "centre", "random"]
    assert maps_of(tokens["metrics"])[:3] == ["tokens", "tokens@3", "tokens@4"]
    assert plain["metrics"]["pointing/random/brand"] == pytest.approx(100 * 4 / 16) and "tokens_minus" not in plain
    value, low, high = tokens["tokens_minus"]["0: attention"]["pointing/brand"]
    mine, theirs = tokens["metrics"]["pointing/tokens/brand"], plain["metrics"]["pointing/attention/brand"]
    assert value == mine - theirs and low <= value <= high
    assert json.loads((tmp_path / "comparison.json").read_text())["results"][0]["model"]["path"] == "runs/0"
    assert (tmp_path / "grounding.svg").is_file()
    assert [table.row_count for table in grounding_tables(comparison)] == [16, 16]


def test_many_encoders_show_one_map_each(tiny, shelf, tmp_path):
    encoders = [small(tiny, ("brand", "colour"), run) for run in "abc"] + [small(tiny)]
    evaluate_grounding(encoders[:3], shelf, out=tmp_path / "few", resamples=2)
    evaluate_grounding(encoders, shelf, out=tmp_path / "many", resamples=2)
    few, many = ((tmp_path / folder / "grounding.svg").read_text() for folder in ("few", "many"))
    assert "a: grad-cam" in few and "c: tokens" in few
    assert "grad-cam" not in many and "c: tokens" in many and "0: gradient" in many


def test_windows_need_no_boxes_and_say_how_far_they_can_be_trusted(tiny, shelf):
    record = evaluate_grounding([small(tiny)], shelf, truth="windows", products=2, resamples=20).results[0]
    assert record["protocol"] == "windows" and record["n"] == 2 and set(record["places"]) == {"brand", "colour"}
    assert set(record["windows_centred_in_box"]) == {"brand"}


def test_bad_questions_get_one_line(tiny, shelf):
    bare = Shelf([Product("p", [png("red")], ("a shirt",), {"colour": "red"})] * 2, tags=("colour",))
    with pytest.raises(InputError, match="unknown truth 'pixels'; choose one of boxes, windows"):
        evaluate_grounding([small(tiny)], shelf, truth="pixels")
    with pytest.raises(InputError, match="has no boxes"):
        evaluate_grounding([small(tiny)], bare, truth="boxes")
    with pytest.raises(InputError, match="has no tags"):
        evaluate_grounding([small(tiny)], Shelf(bare.products, tags=()))
