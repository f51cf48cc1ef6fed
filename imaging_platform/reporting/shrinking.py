"""Pages that would be too large, made to fit by coarser photographs."""

from __future__ import annotations

import base64
import io
import re

SHARES = (0.85, 0.7, 0.55, 0.45, 0.35)
"""Shares of the pixels along each side that are tried, in this order."""

QUALITY = 70

_PHOTO = re.compile(r"(?<=data:image/jpeg;base64,)[A-Za-z0-9+/=\s]+?(?=[\"')])")


def shrink_to(page: str, limit_bytes: int) -> str:
    """
    Return a page whose JPEG pictures are as coarse as it takes to keep the limit.

    A session with many series has many pictures. One that fits is returned as it
    is; where the coarsest pictures do not help either, they are returned.

    Parameters
    ----------
    page
        HTML with its pictures inside.
    limit_bytes
        Size of the page that is wanted at most.
    """
    fitted = page
    for share in SHARES:
        if len(fitted.encode()) <= limit_bytes:
            return fitted
        fitted = _PHOTO.sub(lambda found, s=share: _coarsen(found.group(), s), page)
    return fitted


def _coarsen(encoded: str, share: float) -> str:
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    sides = (round(picture.width * share), round(picture.height * share))
    buffer = io.BytesIO()
    picture.resize(sides, Image.Resampling.LANCZOS).save(
        buffer, "JPEG", quality=QUALITY, optimize=True
    )
    smaller = base64.b64encode(buffer.getvalue()).decode()
    return min(encoded, smaller, key=len)
