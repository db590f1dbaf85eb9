"""Recognises files that are not usable photos by their first bytes, for helpful messages."""

import re
from collections.abc import Sequence

HEIC = "a HEIC photo (of an iPhone), which needs a plugin: pip install 'e2-fashion[heic]', or save it as JPEG"
AVIF = "an AVIF photo, which needs Pillow 11.3 or later, or save it as JPEG"
KINDS = (  # pattern at the start -> what such a file is
    (rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", HEIC),
    (rb"....ftyp(avif|avis)", AVIF),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg", "a drawing (SVG); save it as PNG"),
    (rb"\s*<(!doctype html|html|head|body)", "a web page (HTML), saved in place of a photo"),
    (rb"%PDF", "a PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file (EPS), which may run code; save it as PNG"),
    (rb"8BPS", "a Photoshop file; save it as PNG or JPEG"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL photo, which Pillow does not read; save it as JPEG"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "an archive; unpack it"),
    (rb"version https://git-lfs", "a pointer to a file that Git LFS holds; run `git lfs pull`"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|II\*\0|MM\0\*|RIFF....WEBP", "damaged, or of a kind that Pillow does not read"),
    (rb"\s*[{\[]", "a text file (JSON)"),
    (rb"\s*<", "a text file (XML)"),
)
HEAD = 512  # bytes looked at


def kind_of(content: bytes, formats: Sequence[str]) -> str | None:
    """Describes a file's content in a few words that follow "it is"; None if unknown.

    A file of one of the ``formats`` that Pillow reads here was rejected because it is damaged.
    """
    head = content[:HEAD]
    found = next((kind for pattern, kind in KINDS if re.match(pattern, head, re.DOTALL | re.IGNORECASE)), None)
    return "damaged" if {HEIC: "HEIF", AVIF: "AVIF"}.get(found or "") in formats else found
