"""A figure that left the system says where it comes from, and shows the same."""

from __future__ import annotations

import base64
import copy
import io

import numpy as np
import pytest
from PIL import Image

from imaging_platform.provenance.stamps import (
    Stamp,
    digest_origin,
    read_stamp,
    stamp_markup,
    stamp_notebook,
    stamp_picture,
)

STAMP = Stamp("demo", "session_report", "sub-A1_ses-1", digest_origin("1", {"x": "y"}))
WHOLE = Stamp("demo", "study_report", "", "0" * 64)


def picture(kind: str) -> bytes:
    pixels = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image)


@pytest.mark.parametrize("stamp", [STAMP, WHOLE])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_carries_its_stamp_and_shows_the_same(kind, stamp):
    before = picture(kind)

    after = stamp_picture(before, stamp)

    assert read_stamp(after) == stamp
    assert np.array_equal(pixels_of(after), pixels_of(before))


def test_a_png_shows_its_stamp_to_any_program_that_shows_texts():
    with Image.open(io.BytesIO(stamp_picture(picture("PNG"), STAMP))) as image:
        assert image.text == {"Source": str(STAMP)}


def test_bytes_of_another_kind_stay_as_they_are():
    assert stamp_picture(b"GIF89a", STAMP) == b"GIF89a"


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_picture_inside_a_page_carries_the_stamp_when_it_is_taken_out(kind):
    encoded = base64.b64encode(picture(kind.upper())).decode()
    page = f'<html><head></head><img src="data:image/{kind};base64,{encoded}"></html>'

    stamped = stamp_markup(page, STAMP)

    inside = stamped.split("base64,")[1].split('"')[0]
    assert read_stamp(base64.b64decode(inside)) == STAMP
    assert f'<meta name="imaging-platform" content="{STAMP}">' in stamped


def test_a_drawing_carries_the_stamp_and_decoration_does_not():
    drawing, icon = '<svg width="9"><path/></svg>', '<svg aria-hidden="true"></svg>'

    assert read_stamp(stamp_markup(drawing, STAMP).encode()) == STAMP
    assert stamp_markup(icon, STAMP) == icon


def test_each_figure_of_a_notebook_carries_the_stamp():
    encoded = base64.b64encode(picture("PNG")).decode()
    shown = {"image/png": encoded, "image/svg+xml": "<svg></svg>", "text/plain": "9"}
    notebook = {"metadata": {}, "cells": [{"outputs": [{"data": shown}]}, {}]}
    before = copy.deepcopy(shown)

    stamp_notebook(notebook, STAMP)

    assert notebook["metadata"]["imaging-platform"] == str(STAMP)
    assert read_stamp(base64.b64decode(shown["image/png"])) == STAMP
    assert read_stamp(shown["image/svg+xml"].encode()) == STAMP
    assert shown["text/plain"] == before["text/plain"]


def test_the_origin_names_code_and_inputs_whatever_their_order():
    origin = digest_origin("1", {"a": "x", "b": "y"})

    assert origin == digest_origin("1", {"b": "y", "a": "x"})
    assert len({origin, digest_origin("2", {"a": "x", "b": "y"})}) == 2
    assert len({origin, digest_origin("1", {"a": "x", "b": "z"})}) == 2


def test_what_has_no_stamp_says_so():
    assert read_stamp(picture("PNG")) is None
