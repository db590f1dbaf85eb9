"""Chooses the composers of a comparison: methods by name, learnt ones with the folder fitted for the encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2.adapters.composed.base import Composer
from e2.adapters.composed.methods import METHODS, make_composer
from e2.adapters.composed.settings import parse_options
from e2.adapters.composed.sources import catalogue_options
from e2.adapters.composed.store import read_record
from e2.adapters.encoder import Encoder
from e2.data.product import Catalogue
from e2.errors import InputError, require_choice

BASELINES = ("image", "text", "sum")  # compared with all others
DEFAULT = (*BASELINES, "slerp")


class Methods:
    """Methods for several encoders.

    Args:
        names: methods; none: the baselines, and those of ``folders``.
        folders: of `e2 compose fit`; each knows its method and its encoder.
        preset: style of joining a wish's captions and writing prompts; None: each method's own.
        settings: ``METHOD.KEY=VALUE``, options of single methods; ``{encoder}`` in a value is the name of the encoder's folder
            (``cirevl.captions=runs/decap-{encoder}``).

    Attributes:
        catalogue: searched catalogue, if any: methods know its words as in a search.

    Raises:
        InputError: an unknown method, one named twice, an invalid folder, or settings of a method that does not run.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        folders: Sequence[str | Path] = (),
        *,
        preset: str | None = None,
        settings: Sequence[str] = (),
    ):
        records = [(Path(folder), read_record(folder)) for folder in folders]
        self.folders = {(record.method, record.encoder["weights_sha256"]): folder for folder, record in records}
        self.names = tuple(names) or tuple(dict.fromkeys([*DEFAULT, *(record.method for _, record in records)]))
        self.preset, self.options = preset, _parsed(settings)
        self.catalogue: Catalogue | None = None
        for name in (*self.names, *self.options):
            require_choice("method", name, METHODS)
        if len(set(self.names)) < len(self.names):
            raise InputError(f"a method is named twice: {', '.join(self.names)}")
        idle = [name for name in (*self.options, *(method for method, _ in self.folders)) if name not in self.names]
        if idle:
            raise InputError(f"{idle[0]} has settings or a --composer but does not run; add it to --method")

    def check(self, encoders: Sequence[Encoder]) -> None:
        """Refuses early a folder that fits no encoder.

        Raises:
            InputError: such a folder.
        """
        known = {encoder.info["weights_sha256"] for encoder in encoders}
        for (method, weights), folder in self.folders.items():
            if weights not in known:
                raise InputError(
                    f"{folder} holds {method} for an encoder that is not among --model; add that, or leave it out"
                )

    def composers(self, encoder: Encoder) -> list[Composer]:
        """Makes a composer of each method.

        Raises:
            InputError: a learnt method without a folder for this encoder, or options it does not have.
        """
        return [self._composer(name, encoder) for name in self.names]

    def _composer(self, name: str, encoder: Encoder) -> Composer:
        own = Path(encoder.info["path"]).name
        given = self.options.get(name, {}).items()
        options = {key: value.replace("{encoder}", own) if isinstance(value, str) else value for key, value in given}
        if self.preset is not None:
            options.setdefault("preset", self.preset)
        folder = self.folders.get((name, encoder.info["weights_sha256"]))
        if METHODS[name].trained and folder is None:
            raise InputError(
                f"{name} has to be fitted on {encoder.info['path']} first: e2 compose fit --method {name} --encoder "
                f"{encoder.info['path']} --data SPEC --out DIR, then --composer DIR"
            )
        if folder is None:
            options = catalogue_options(name, options, self.catalogue)
        return make_composer(name, encoder, path=folder, **options)


def _parsed(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Parses ``METHOD.KEY=VALUE`` into method -> key -> value; values in YAML."""
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, dot, rest = setting.partition(".")
        key, equals, _ = rest.partition("=")
        if not (name and dot and key and equals):
            raise InputError(f"--set {setting!r}: write METHOD.KEY=VALUE, e.g. slerp.text_weight=0.9")
        found.setdefault(name, {}).update(parse_options([rest]))
    return found
