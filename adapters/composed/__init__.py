"""Composed retrieval on any encoder: a photo plus a wish, many methods, one interface."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Composed", "Composer", "References"],
        "methods": ["FITTED", "METHODS", "fit_composer", "load_composer", "make_composer"],
        "presets": ["PRESETS", "query_preset"],
        "top_k": ["search"],
    },
)
