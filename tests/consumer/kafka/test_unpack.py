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

MOST = 1 << 20
codecs = pytest.mark.parametrize("codec", CODECS)


def refused(codec: int, packed: bytes) -> Reason:
    with pytest.raises(WireError) as error:
        unpack(codec, packed, MOST)
    return error.value.reason


@given(codec=st.sampled_from([*CODECS]), data=st.binary(max_size=2000), times=st.integers(1, 50))
def test_what_clients_pack_is_unpacked(codec: int, data: bytes, times: int) -> None:
    assert unpack(codec, CODECS[codec](data * times), MOST) == data * times


@codecs
def test_the_last_byte_that_fits_fits(codec: int) -> None:
    assert unpack(codec, CODECS[codec](bytes(MOST)), MOST) == bytes(MOST)
    assert refused(codec, CODECS[codec](bytes(MOST + 1))) is Reason.BATCH_TOO_LARGE


def test_snappy_without_java_s_framing_is_read() -> None:
    assert unpack(2, bytes(cramjam.snappy.compress_raw(b"raw" * 9)), MOST) == b"raw" * 9
    assert refused(2, bytes(cramjam.snappy.compress_raw(bytes(2 * MOST)))) is Reason.BATCH_TOO_LARGE


def test_gzip_may_come_in_members() -> None:
    member = gzip.compress(bytes(MOST // 2))
    assert unpack(1, member * 2, MOST) == bytes(MOST)
    assert refused(1, member * 3) is Reason.BATCH_TOO_LARGE


@codecs
def test_a_bomb_is_not_held(codec: int) -> None:
    """Of what Python allocates; what a codec itself does is measured by `test_fetch_guard`."""
    packed = CODECS[codec](bytes(64 * MOST))
    tracemalloc.start()
    assert refused(codec, packed) is Reason.BATCH_TOO_LARGE
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * MOST + len(packed)


@given(codec=st.integers(0, 7), packed=st.binary(max_size=200), begin=st.booleans())
def test_no_bytes_break_it(codec: int, packed: bytes, begin: bool) -> None:
    whole = CODECS.get(codec, bytes)(b"something" * 9)
    try:
        unpack(codec, whole[: len(packed)] + packed if begin else packed, MOST)
    except WireError as error:
        assert error.reason in {Reason.CORRUPT_BATCH, Reason.BATCH_TOO_LARGE}  # noqa: PT017
