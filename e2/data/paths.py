"""Resolves a photo's path in a table to a file, or explains why it cannot."""

import os
import re
import urllib.parse
import urllib.request
from pathlib import Path

from e2.data.images import BadImage, MissingImage

REMOTE = re.compile(r"(?!file:)[a-zA-Z][a-zA-Z0-9+.-]+://|data:|//[^/]+\.[a-zA-Z]+/")
WINDOWS = re.compile(r"[a-zA-Z]:[\\/]|.*\\", re.DOTALL)


class RemoteImage(BadImage):
    """The path of an image is a URL."""


class WindowsImage(MissingImage):
    """The path of an image is in Windows style and leads nowhere."""


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
