"""The dictionaries say what pydicom says of them."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom._private_dict import private_dictionaries
from pydicom.datadict import dictionary_VR, private_dictionary_VR, tag_for_keyword

from imaging_platform.dicom.dictionary import (
    find_private_vr,
    find_public_vr,
    find_tag,
    public_entries,
)

# The ranges are those of repeating groups.
TAGS = st.sampled_from(sorted(public_entries())) | st.builds(
    lambda first, offset: first + offset,
    st.sampled_from(
        [0x00203100, 0x00280400, 0x10000000, 0x50000000, 0x60000000, 0x7F000000]
    ),
    st.integers(0, 0x1FFFFF),
)


@given(tag=TAGS)
def test_a_public_tag_has_the_representation_of_its_entry(tag):
    try:
        expected = dictionary_VR(tag)
    except KeyError:
        expected = ""

    assert find_public_vr(tag) == expected


@given(
    name=st.sampled_from(
        sorted((c, n) for c, entries in private_dictionaries.items() for n in entries)
    ),
    digits=st.text("0123456789ABCDEF", min_size=4, max_size=4),
    has_entry=st.booleans(),
)
def test_a_private_tag_has_the_representation_of_its_entry(name, digits, has_entry):
    creator, mask = name
    given_digits = iter(digits)
    text = "".join(next(given_digits) if sign == "x" else sign for sign in mask)
    tag = int(text, 16) if has_entry else int(text[:4] + digits, 16)

    try:
        expected = private_dictionary_VR(tag, creator)
    except KeyError:
        expected = ""

    assert find_private_vr(tag, creator) == expected


@pytest.mark.parametrize("keyword", ["PatientName", "PixelData", "NoSuchKeyword"])
def test_a_keyword_has_the_tag_of_its_entry(keyword):
    assert find_tag(keyword) == tag_for_keyword(keyword)


def test_reading_the_dictionaries_does_not_import_pydicom():
    code = (
        "import sys\n"
        "from imaging_platform.dicom import dictionary\n"
        "found = dictionary.find_public_vr(0x00100010)\n"
        "found += dictionary.find_private_vr(0x00191008, 'SIEMENS MR HEADER')\n"
        "print(found, dictionary.find_tag('Rows'), 'pydicom' in sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["PNCS", str(0x00280010), "False"]
