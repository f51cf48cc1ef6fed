"""The official validator has nothing to say against a release."""

from __future__ import annotations

from imaging_platform.files.writing import write_text
from imaging_platform.tools.validator import validate_dataset


def test_a_release_is_valid_bids_with_a_citation_and_without(site):
    site.make("1.0")
    citation = 'cff-version: 1.2.0\nmessage: "m"\ntitle: "t"\nauthors:\n  - name: "n"\n'
    write_text(site.home.citation_file("s"), citation)

    site.make("1.1")

    for version in ("1.0", "1.1"):
        found = validate_dataset(site.root(version))
        assert found.errors == ()
        assert found.files > 5
