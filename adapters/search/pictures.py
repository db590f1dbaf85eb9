"""Small pictures of products and queries."""

import io

from e2.data.images import ImageSource, as_photo

QUALITY = 85


def jpeg_of(image: ImageSource, side: int) -> bytes:
    """Makes a JPEG of at most ``side`` pixels per side.

    Raises:
        BadImage: a photo that cannot be read.
    """
    photo = as_photo(image, side)
    small = photo.copy() if photo is image else photo
    small.thumbnail((side, side))
    contents = io.BytesIO()
    small.save(contents, "JPEG", quality=QUALITY)
    return contents.getvalue()
