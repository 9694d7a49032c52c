from __future__ import annotations

import gzip
import tracemalloc

import cramjam
import pytest
from batch_bytes import CODECS
from hypothesis import given
from hypothesis import strategies as st

from consumer.kafka.unpack import unpack
from schemas.errors import Reason, WireError

LIMIT = 1 << 20
codecs = pytest.mark.parametrize("codec", CODECS)


def rejected(codec: int, packed: bytes) -> Reason:
    with pytest.raises(WireError) as error:
        unpack(codec, packed, LIMIT)
    return error.value.reason


@given(codec=st.sampled_from([*CODECS]), data=st.binary(max_size=2000), times=st.integers(1, 50))
def test_what_clients_compress_is_decompressed(codec: int, data: bytes, times: int) -> None:
    assert unpack(codec, CODECS[codec](data * times), LIMIT) == data * times


@codecs
def test_the_limit_is_inclusive(codec: int) -> None:
    assert unpack(codec, CODECS[codec](bytes(LIMIT)), LIMIT) == bytes(LIMIT)
    assert rejected(codec, CODECS[codec](bytes(LIMIT + 1))) is Reason.BATCH_TOO_LARGE


def test_snappy_without_the_framing_of_snappy_java_is_read() -> None:
    assert unpack(2, bytes(cramjam.snappy.compress_raw(b"raw" * 9)), LIMIT) == b"raw" * 9
    assert (
        rejected(2, bytes(cramjam.snappy.compress_raw(bytes(2 * LIMIT)))) is Reason.BATCH_TOO_LARGE
    )


def test_gzip_may_have_several_members() -> None:
    member = gzip.compress(bytes(LIMIT // 2))
    assert unpack(1, member * 2, LIMIT) == bytes(LIMIT)
    assert rejected(1, member * 3) is Reason.BATCH_TOO_LARGE


@codecs
def test_a_decompression_bomb_is_not_kept_in_memory(codec: int) -> None:
    """This covers what Python allocates; `test_fetch_guard` measures the codecs' own memory."""
    packed = CODECS[codec](bytes(64 * LIMIT))
    tracemalloc.start()
    assert rejected(codec, packed) is Reason.BATCH_TOO_LARGE
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * LIMIT + len(packed)


@given(codec=st.integers(0, 7), packed=st.binary(max_size=200), begin=st.booleans())
def test_any_bytes_are_decompressed_or_rejected(codec: int, packed: bytes, begin: bool) -> None:
    whole = CODECS.get(codec, bytes)(b"something" * 9)
    try:
        unpack(codec, whole[: len(packed)] + packed if begin else packed, LIMIT)
    except WireError as error:
        assert error.reason in {Reason.CORRUPT_BATCH, Reason.BATCH_TOO_LARGE}  # noqa: PT017
