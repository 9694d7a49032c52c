"""Decode the payload of one record to samples; the length is bounded whatever its header claims."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import soundfile

from consumer.codecs.recordings import EncodedRecording, recordings
from consumer.core.audio.samples import DecodedAudio, from_float, sample_bytes, unpack
from consumer.core.audio.utterance import Int16Array
from schemas.audio import MAX_CHANNELS, MAX_RATE, MAX_RECORD_SECONDS, MIN_RATE, AudioCodec
from schemas.errors import Reason, WireError

Decode: TypeAlias = Callable[
    [bytes, AudioCodec, int | None, int | None], DecodedAudio
]  # as `decode`

# The formats of libsndfile that a codec allows. It recognises many more, which are rejected.
_FORMATS = {
    AudioCodec.FLAC: ("FLAC",),
    AudioCodec.OPUS: ("OGG",),
    AudioCodec.VORBIS: ("OGG",),
    AudioCodec.MP3: ("MP3",),
    AudioCodec.WAV: ("WAV", "WAVEX", "RF64"),
}
_SUBTYPES = {AudioCodec.OPUS: "OPUS", AudioCodec.VORBIS: "VORBIS"}
_ESTIMATED = (AudioCodec.MP3,)  # libsndfile's frame count is an estimate: recordings.py counts
_MAX_RECORDINGS = 1_000  # of a payload: takes less than 0.5 s
_UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's frame count for a FLAC that was written to a pipe


def decode(
    payload: bytes, codec: AudioCodec, rate: int | None, channels: int | None
) -> DecodedAudio:
    """Return the samples of one record.

    `rate` and `channels` come from the headers: raw codecs need both, and None leaves them to a
    container. Raises `WireError` with the reason for the dead letter.
    """
    if codec.self_describing:
        return _decode_container(payload, codec, rate, channels)
    assert rate is not None
    assert channels is not None
    _check_format(rate, channels)
    _check_length(len(payload) // (sample_bytes(codec) * channels), rate)
    return DecodedAudio(unpack(payload, codec, channels), rate)


class _Container(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is untyped
    """A file in memory, read sequentially.

    soundfile seeks after every read of a seekable file, which fails on a FLAC of unknown length.
    """

    def seekable(self) -> bool:
        return False


def _decode_container(
    payload: bytes, codec: AudioCodec, rate: int | None, channels: int | None
) -> DecodedAudio:
    """Return the samples of all recordings of a container, which must have one format."""
    blocks: list[Int16Array] = []
    formats = set()
    length = 0
    for recording in _bounded(recordings(payload, codec)):
        with _open(recording.data, codec) as container:
            _check_kind(container, codec)
            _check_format(container.samplerate, container.channels)
            _check_stated(container, codec, rate, channels)
            formats.add((container.samplerate, container.channels))
            _check_same(formats)
            found = _blocks(container, codec, length)
        blocks += found
        length += sum(map(len, found))
        if not recording.is_complete:
            raise _incomplete(length)
    return DecodedAudio(np.concatenate(blocks), formats.pop()[0])


def _bounded(found: Iterator[EncodedRecording]) -> Iterator[EncodedRecording]:
    """Yield the recordings, of which opening each takes time."""
    for count, recording in enumerate(found):
        if count == _MAX_RECORDINGS:
            raise WireError(
                Reason.BAD_PAYLOAD,
                f"the payload joins more than {_MAX_RECORDINGS} recordings; send fewer a record",
            )
        yield recording


@contextmanager
def _open(data: bytes, codec: AudioCodec) -> Iterator[_Container]:
    """Yield the open container. Raises `WireError`, also for errors of reading it."""
    try:
        with _Container(io.BytesIO(data)) as container:
            yield container
    except soundfile.LibsndfileError as error:
        raise WireError(
            Reason.BAD_PAYLOAD,
            f"the payload is not a complete {codec} file ({error.error_string}); "
            "encode each record as a file of its own",
        ) from error


def _blocks(container: _Container, codec: AudioCodec, before: int) -> list[Int16Array]:
    """Return all samples, [n, channels] a block, that follow `before` samples of the record.

    Decode at most one block above the longest record.
    """
    declared = 0 if codec in _ESTIMATED or container.frames == _UNKNOWN_LENGTH else container.frames
    _check_length(before + declared, container.samplerate)
    blocks = []
    length = 0
    while len(block := container.read(container.samplerate, dtype="float32", always_2d=True)):
        blocks.append(from_float(block))
        length += len(block)
        _check_length(before + length, container.samplerate)
    if not length or length < declared:
        raise _incomplete(before + length)
    return blocks


def _incomplete(samples: int) -> WireError:
    return WireError(
        Reason.BAD_PAYLOAD,
        f"the payload ends after {samples} samples; encode each record as a file of its own",
    )


def _check_kind(container: _Container, codec: AudioCodec) -> None:
    kind, subtype = container.format, container.subtype
    if kind not in _FORMATS[codec] or subtype != _SUBTYPES.get(codec, subtype):
        raise WireError(
            Reason.FORMAT_CONTRADICTION,
            f"the header codec is {codec}, the payload is {kind} ({subtype}); correct the header",
        )


def _check_format(rate: int, channels: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise WireError(
            Reason.RATE_OUT_OF_RANGE, f"the audio has {rate} Hz; send {MIN_RATE} to {MAX_RATE} Hz"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise WireError(
            Reason.CHANNELS_OUT_OF_RANGE,
            f"the audio has {channels} channels; send 1 to {MAX_CHANNELS}",
        )


def _check_stated(
    container: _Container, codec: AudioCodec, rate: int | None, channels: int | None
) -> None:
    # An Opus stream has no rate of its own and decodes at several, so any header is consistent.
    if rate not in {None, container.samplerate} and codec is not AudioCodec.OPUS:
        raise WireError(
            Reason.FORMAT_CONTRADICTION,
            f"the header rate is {rate} Hz, the payload has {container.samplerate} Hz; "
            "leave the header out",
        )
    if channels not in {None, container.channels}:
        raise WireError(
            Reason.FORMAT_CONTRADICTION,
            f"the header channels is {channels}, the payload has {container.channels}; "
            "leave the header out",
        )


def _check_same(formats: set[tuple[int, int]]) -> None:
    if len(formats) > 1:
        raise WireError(
            Reason.BAD_PAYLOAD,
            "the payload joins recordings of different rates or channels; "
            "send each as a record of its own",
        )


def _check_length(samples: int, rate: int) -> None:
    if samples > MAX_RECORD_SECONDS * rate:
        raise WireError(
            Reason.TOO_LONG,
            f"the record holds more than {MAX_RECORD_SECONDS} s of audio; send shorter chunks",
        )
