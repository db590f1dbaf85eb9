"""Captioners trained on text only, for any encoder: DeCap, CapDec, and the nearest caption as a control.

>>> captioner = fit_captioner("decap", load_encoder("runs/mine"), open_catalogue("catalogue.parquet", "train"), "runs/decap")
>>> captioner.caption(["photo.jpg"])
>>> load_captioner("runs/decap").caption(["photo.jpg"], beam=5)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"captioner": ["Captioner"], "checkpoint": ["load_captioner"], "fit": ["fit_captioner"]}
)
