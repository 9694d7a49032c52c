"""Cut raw audio into numbered records while it arrives, without decoding it. Pure.

stream = LiveStream("call-1", AudioCodec.PCM_MULAW, 8_000, run=secrets.token_hex(4))
for chunk in stream.push(audio):
    await publisher.send(chunk)
for chunk in stream.finish():
    await publisher.send(chunk)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from producer.records import checked_record
from schemas.audio import MAX_POSITION, AudioChunk, AudioCodec, StreamOptions

# A stated position may differ by as much from the end of the audio before it: clocks of telephone
# systems jitter, and each gap ends an utterance.
JITTER_MS: Final = 60
_SAMPLE_BYTES: Final = {
    AudioCodec.PCM_S16LE: 2,
    AudioCodec.PCM_F32LE: 4,
    AudioCodec.PCM_MULAW: 1,
    AudioCodec.PCM_ALAW: 1,
}


class LiveStream:
    """Cuts raw audio, in pieces of any size, into records: `seq` counts them, `start` samples.

    Its constructor raises ValueError for what the worker would reject, and for a codec whose
    records cannot be cut anywhere. It keeps less than one record of audio.
    """

    def __init__(
        self,
        stream_id: str,
        codec: AudioCodec,
        rate: int,
        channels: int = 1,
        *,
        run: str,
        options: StreamOptions = StreamOptions(),  # noqa: B008 - frozen
        chunk_ms: int = 100,
    ) -> None:
        """`run`: an id that no other stream of this `stream_id` has, as all begin with `seq` 0."""
        if codec.self_describing:
            raise ValueError(f"{codec} is no raw audio: send its files with AudioPublisher")
        # A record without its audio; only the first one has the options.
        self._record = AudioChunk(stream_id, b"", codec, rate, channels, options=options, run=run)
        checked_record(replace(self._record, end=True))
        self._frame_bytes = _SAMPLE_BYTES[codec] * channels
        self._chunk_bytes = rate * chunk_ms // 1000 * self._frame_bytes
        self._jitter = rate * JITTER_MS // 1000  # samples
        self._rest = bytearray()
        self._seq = 0
        self._position = 0  # of the rest

    def push(self, audio: bytes, start: int | None = None) -> Iterator[AudioChunk]:
        """Add audio and yield each full record.

        `start`: the index of its first sample in the stream, if the sender states it. If that lies
        after the audio so far, by more than jitter, audio is missing between them: the record is
        cut there, and the next one states its position. Otherwise the audio follows.
        Raises ValueError, and adds nothing, if `start` is out of range.
        """
        if start is not None:
            yield from self._move_to(start)
        self._rest += audio
        while len(self._rest) >= self._chunk_bytes:
            yield self._cut(self._chunk_bytes)

    def finish(self) -> Iterator[AudioChunk]:
        """Yield the last record, or none if there was no audio at all."""
        if not self._is_empty:
            yield self._cut(self._whole_bytes(), end=True)

    @property
    def _is_empty(self) -> bool:
        """Whether there was no audio so far."""
        return not (self._seq or self._rest)

    def _move_to(self, start: int) -> Iterator[AudioChunk]:
        if not 0 <= start <= MAX_POSITION:
            raise ValueError(f"start is {start}: it is a sample index of 0 to {MAX_POSITION}")
        end = self._position + len(self._rest) // self._frame_bytes
        if not self._is_empty and start - end <= self._jitter:
            return
        if whole := self._whole_bytes():
            yield self._cut(whole)
        self._rest.clear()
        self._position = start

    def _whole_bytes(self) -> int:
        """Return the size of the rest without an incomplete sample at its end."""
        return len(self._rest) // self._frame_bytes * self._frame_bytes

    def _cut(self, size: int, *, end: bool = False) -> AudioChunk:
        payload = bytes(self._rest[:size])
        chunk = replace(self._record, payload=payload, seq=self._seq, start=self._position, end=end)
        del self._rest[:size]
        self._record = replace(self._record, options=StreamOptions())
        self._seq += 1
        self._position += size // self._frame_bytes
        return chunk
