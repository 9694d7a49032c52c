from __future__ import annotations

import re

import whisper

from weights.catalogue import BY_NAME, BY_SHA256, KNOWN


def test_names_and_urls_equal_those_of_openai_whisper():
    assert {name: known.url for name, known in BY_NAME.items()} == whisper._MODELS


def test_every_hash_is_valid_and_belongs_to_one_name():
    hashes = [sha256 for known in KNOWN for sha256 in known.accepted]

    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in hashes)
    assert len(hashes) == len(BY_SHA256)


def test_packages_and_all_their_pieces_are_pinned():
    for packaged in filter(None, (known.packaged for known in KNOWN)):
        assert all("==" in wheel.requirement for wheel in packaged.wheels)
        used = {wheel for pieces in packaged.files.values() for wheel, _ in pieces}
        assert used == {*range(len(packaged.wheels))}
