"""Resolves a photo's path in a table to a file, or explains why it cannot."""

import base64
import os
import re
import urllib.parse
import urllib.request
from pathlib import Path

from e2.data.cells import INLINE
from e2.data.images import BadImage, MissingImage

REMOTE = re.compile(r"(?!file:)[a-zA-Z][a-zA-Z0-9+.-]+://|//[^/]+\.[a-zA-Z]+/")
SHOWN = 40  # characters of a photo in a cell
WINDOWS = re.compile(r"[a-zA-Z]:[\\/]|.*\\", re.DOTALL)


class RemoteImage(BadImage):
    """The path of an image is a URL."""


class LostOnTheWeb(BadImage):
    """The photo at an address could not be fetched; ``cause`` is why."""


class WindowsImage(MissingImage):
    """The path of an image is in Windows style and leads nowhere."""


def photo_in(root: Path, text: str) -> bytes | Path:
    """Photo that a table names: its bytes if the cell holds them (``data:image/png;base64,...``), or else its path.

    Raises:
        BadImage: as for `photo_path`; or what the cell holds is cut, or damaged.
    """
    found = INLINE.match(text)
    if found is None:
        return photo_path(root, text)
    content = urllib.parse.unquote_to_bytes(text[found.end() :])
    if not found.group().rstrip(", ").lower().endswith(";base64"):
        return content
    try:
        return base64.b64decode(b"".join(content.split()), b"-_" if set(content) & set(b"-_") else None, validate=True)
    except ValueError:
        raise BadImage(f"{text[:SHOWN]}...", "its base64 is cut or damaged") from None


def photo_path(root: Path, text: str) -> Path:
    """Resolves a path from a table: absolute, relative to ``root`` or ``file://``.

    Raises:
        RemoteImage: it is a URL.
        WindowsImage: it has backslashes or a drive, and there is no such file.
    """
    if REMOTE.match(text):
        raise RemoteImage(text, "it is a URL, and URLs are not fetched")
    if text[:5].lower() == "file:":
        return root / urllib.request.url2pathname(urllib.parse.urlsplit(text).path)
    path = root / text
    if WINDOWS.match(text) and not os.path.exists(path):
        raise WindowsImage(text, "there is no such file; write / for backslashes, and paths relative to the table")
    return path
