"""Silhouettes of t-shirts, shirts, hoodies, sweaters and cardigans, seen from the front."""

import numpy as np

from e2.data.boutique import tailoring as cut
from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing, box
from e2.data.boutique.tailoring import NECK


def t_shirt(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    half, hem = 39 * cut.FITS[design.details["fit"]], rng.uniform(46, 54)
    cut.back_neck(drawing)
    sleeve = cut.sleeves(drawing, design.season, "hem", wide=3 if design.details["fit"] == "boxy" else 0)
    winter = design.season == "Winter"
    if design.details["neck"] == "v" and not winter:
        drawing.body = [drawing.part(cut.v_torso(hem, half))]
        cut.v_band(drawing, 13, 26, 3)
    else:
        drawing.body = [drawing.part(cut.torso(hem, half))]
        if not winter:
            cut.crew_band(drawing, 13, 10, 3)
    cut.armholes(drawing)
    cut.drape(drawing, rng, hem, half)
    cut.hem_stitch(drawing, hem, half)
    if design.details["pocket"] == "chest":
        cut.pocket(drawing, 9, -36, 27, -15)
    drawing.cue = [cut.turtleneck(drawing)] if winter else [sleeve]
    drawing.anchors = {"left": (-18, -32), "right": (18, -30), "low": (-20, hem - 18)}


def shirt(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    half, hem = 39 * cut.FITS[design.details["fit"]], rng.uniform(54, 62)
    winter = design.season == "Winter"
    sleeve = cut.sleeves(drawing, design.season, "shirt", wide=1)
    side = hem - 9
    body = cut.torso(side, half, 13, 6, waist=2)
    body = body.replace(
        f"Q 0 {side + 4.0} {half} {side}", f"C {-half * 0.7} {side + 13} {half * 0.7} {side + 13} {half} {side}"
    )
    drawing.body = [drawing.part(body)]
    cut.armholes(drawing)
    cut.drape(drawing, rng, hem, half)
    drawing.seam("M 13 -66 C 20 -60 28 -56 36.4 -55", both=True)
    drawing.part(f"M -4 -62 L 4 -62 L 4 {hem + 0.4} L -4 {hem + 0.4} Z", "cloth", bulge=0.1)
    drawing.stitch(f"M -3 -58 L -3 {hem}")
    drawing.stitch(f"M 3 -58 L 3 {hem}")
    cut.buttons(drawing, 0, -50, hem - 14, 6, 1.7, "metal" if design.details["closure"] == "snaps" else "button")
    if "chest" in design.details["pocket"]:
        cut.pocket(drawing, 10, -34, 28, -12, 6)
    if design.details["pocket"] == "two chest":
        cut.pocket(drawing, -28, -34, -10, -12, 6)
    collar = cut.fur_collar(drawing, -52) if winter else cut.shirt_collar(drawing)
    drawing.cue = cut.on_both_sides(collar) if winter else [sleeve]
    drawing.anchors = {"left": (-20, -25), "right": (20, -25), "low": (-20, hem - 24)}


def hoodie(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    half, hem = 40 * cut.FITS[design.details["fit"]], rng.uniform(48, 55)
    winter, zipped = design.season == "Winter", design.details["closure"] == "zip"
    sleeve = cut.sleeves(drawing, design.season, "rib", wide=4)
    drawing.part("M -26 -58 C -30 -76 -24 -92 0 -93 C 24 -92 30 -76 26 -58 Q 0 -40 -26 -58 Z", "cloth", bulge=0.9)
    drawing.body = [drawing.part(cut.torso(hem, half, 16, 14))]
    cut.armholes(drawing)
    cut.drape(drawing, rng, hem - 8, half)
    cut.rib_hem(drawing, hem, half)
    opening = "M -15 -62 C -19 -76 -14 -86 0 -87 C 14 -86 19 -76 15 -62 C 11 -52 5 -47 0 -45 C -5 -47 -11 -52 -15 -62 Z"
    drawing.part(opening, "shearling" if winter else "lining", bulge=-0.9)
    drawing.part(
        "M -9 -61 C -12 -73 -9 -81 0 -82 C 9 -81 12 -73 9 -61 C 7 -55 3 -52 0 -51 C -3 -52 -7 -55 -9 -61 Z",
        "inside",
        bulge=-0.5,
    )
    rim = "M 0 -44 C 8 -48 15 -55 18 -63 C 21 -74 17 -87 0 -90 L 0 -86 C 12 -84 16 -75 13 -63 C 10 -55 5 -51 0 -49 Z"
    rim = drawing.pair(rim, "shearling" if winter else "cloth", 15, 0.5)
    if not winter:
        drawing.stitch("M 2 -46.5 C 9 -51 14.5 -57 16.5 -64 C 19 -74 15 -85 2 -88", both=True)
    if zipped:
        cut.zip_line(drawing, f"M 0 -44 L 0 {hem + 2}", (0, -42))
    if design.details["pocket"] == "kangaroo":
        path = "M -15 6 L 15 6 L 27 22 L 27 39 Q 0 43 -27 39 L -27 22 Z"
        drawing.part(path, "cloth", bulge=0.3)
        drawing.stitch("M -26 38 L -26 22.5 L -14.5 7.4 L 14.5 7.4 L 26 22.5 L 26 38")
        if zipped:
            cut.zip_line(drawing, f"M 0 4 L 0 {hem + 2}", (0, -42))
    drawing.line("M 6 -49 C 9 -40 5 -34 7 -24", "cord", 1.5)
    drawing.line("M -6 -49 C -8 -41 -5 -32 -8 -21", "cord", 1.5)
    drawing.cue = cut.on_both_sides(rim) if winter else [sleeve]
    drawing.anchors = {"left": (-21, -22), "right": (21, -22), "low": (-16 if zipped else 0, 24)}


def sweater(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    half, hem = 39 * cut.FITS[design.details["fit"]], rng.uniform(46, 54)
    winter = design.season == "Winter"
    cut.back_neck(drawing)
    sleeve = cut.sleeves(drawing, design.season, "rib", wide=3)
    if design.details["neck"] == "v" and not winter:
        drawing.body = [drawing.part(cut.v_torso(hem, half, 12, 28))]
        cut.v_band(drawing, 12, 28, 4.5)
    else:
        drawing.body = [drawing.part(cut.torso(hem, half))]
        if not winter:
            cut.crew_band(drawing, 13, 8, 5)
    cut.armholes(drawing)
    cut.drape(drawing, rng, hem - 8, half)
    cut.rib_hem(drawing, hem, half)
    drawing.cue = [cut.turtleneck(drawing, 14)] if winter else [sleeve]
    drawing.anchors = {"left": (-20, -28), "right": (20, -28), "low": (-19, hem - 24)}


def cardigan(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    half, hem = 39 * cut.FITS[design.details["fit"]], rng.uniform(51, 59)
    winter = design.season == "Winter"
    drawing.part(box(-13, NECK - 2, 13, -8), "inside", bulge=-0.6)
    sleeve = cut.sleeves(drawing, design.season, "rib", wide=2)
    drawing.body = [drawing.part(cut.v_torso(hem, half, 13, 52))]
    cut.armholes(drawing)
    cut.drape(drawing, rng, hem - 8, half)
    cut.rib_hem(drawing, hem, half, 8)
    if design.details["pocket"] == "patch":
        cut.pocket(drawing, 9, 14, 29, 38)
        cut.pocket(drawing, -29, 14, -9, 38)
    band = f"M 12 {NECK - 2} Q 10 -44 0 -18 L 0 -6 Q 14 -40 18 {NECK} Z"
    drawing.part(f"M -3.6 -18 L 3.6 -18 L 3.6 {hem + 3} L -3.6 {hem + 3} Z", "rib", 90, 0.1)
    if design.details["closure"] == "zip":
        cut.zip_line(drawing, f"M 0 -16 L 0 {hem + 2.5}", (0, -16))
    else:
        cut.buttons(drawing, 0, -12, hem - 4, 5, 2.3)
    if winter:
        band = (
            f"M 10 {NECK - 6} C 8 -50 4 -30 0 -14 C 2 -10 6 -12 9 -18 C 18 -34 26 -52 24 {NECK + 5} "
            f"C 20 -74 14 -76 10 {NECK - 6} Z"
        )
    band = drawing.pair(band, "shearling" if winter else "rib", 12, 0.7 if winter else 0.2)
    drawing.cue = cut.on_both_sides(band) if winter else [sleeve]
    drawing.anchors = {"left": (-22, -26), "right": (22, -26), "low": (-21, hem - 26)}
