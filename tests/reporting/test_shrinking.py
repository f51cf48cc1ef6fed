from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from imaging_platform.reporting.shrinking import shrink_to


def photo(seed: int) -> str:
    pixels = np.random.default_rng(seed).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=76)
    return base64.b64encode(buffer.getvalue()).decode()


def page_of(*photos: str) -> str:
    shown = "".join(f'<img src="data:image/jpeg;base64,{each}">' for each in photos)
    return f'<p>before</p>{shown}<img src="data:image/png;base64,iVBORw0K"><p>after</p>'


def test_a_page_that_fits_is_left_as_it_is():
    page = page_of(photo(1))

    assert shrink_to(page, len(page)) is page


@pytest.mark.parametrize("share", [0.8, 0.5, 0.3])
def test_a_page_that_is_too_large_gets_coarser_photographs_until_it_fits(share):
    page = page_of(photo(1), photo(2))
    limit = int(share * len(page))

    fitted = shrink_to(page, limit)

    assert len(fitted) <= limit
    assert fitted == shrink_to(page, limit)
    assert fitted.startswith("<p>before</p>")
    assert fitted.endswith('<img src="data:image/png;base64,iVBORw0K"><p>after</p>')
    for encoded in re.findall(r"jpeg;base64,([^\"]+)", fitted):
        picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
        assert picture.width / picture.height == pytest.approx(4 / 3, abs=0.02)


def test_what_photographs_cannot_save_stays_too_large():
    page = page_of(photo(1)) + "x" * 100_000

    assert len(shrink_to(page, 50_000)) > 100_000
