"""List dead letters and send them back, with a real broker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer

from admin import dlq, redrive
from devstack.kafka import LocalKafka
from devstack.ports import free_ports
from schemas.audio import AudioChunk, AudioCodec
from schemas.codec import decode_audio
from schemas.topics import Topics
from transport.start import Edge
from transport.topic_reader import TopicReader

VALUE = bytes(range(256))


class Letters:
    """Writes to the dead-letter topic, and reads the records that were sent back."""

    def __init__(self, kafka: LocalKafka, topics: Topics) -> None:
        self.kafka, self.topics = kafka, topics
        self.options = ["--bootstrap", kafka.bootstrap, "--prefix", topics.prefix]

    def put(
        self,
        key: bytes | None,
        reason: str,
        headers: Sequence[tuple[str, bytes]] = (),
        value: bytes | None = VALUE,
    ) -> None:
        """Write a dead letter as a worker does."""
        details = {"reason": reason, "message": "send \x1b[2J less", "topic": self.topics.audio}
        details |= {"partition": "0", "offset": "7"}
        dead = [(f"dlq.{name}", text.encode()) for name, text in details.items()]
        asyncio.run(self._put(key, value, [*headers, *dead]))

    def sent_back(self, topic: str | None = None) -> list[AudioChunk]:
        """Return the chunks in a topic (default: bulk)."""
        return asyncio.run(self._read(topic or self.topics.audio_bulk))

    async def _put(
        self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        async with AIOKafkaProducer(
            bootstrap_servers=self.kafka.bootstrap, max_request_size=4 << 20
        ) as producer:
            await producer.send_and_wait(
                self.topics.audio_dlq, value, key, partition=0, headers=headers
            )

    async def _read(self, topic: str) -> list[AudioChunk]:
        async with TopicReader(self.kafka.bootstrap, topic, start=Edge.BEGINNING) as reader:
            return [decode_audio(r.key, r.value, r.headers) async for r in reader.records_to_end()]


@pytest.fixture
def letters(kafka: LocalKafka, topics: Topics) -> Letters:
    return Letters(kafka, topics)


def test_letters_are_sent_back_as_new_streams_that_end(
    letters: Letters, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.put(b"call-7", "unknown_codec", [("codec", b"pcm_alaw"), ("seq", b"3")])
    letters.put(b"call-7", "overlap", [("start", b"10")])
    letters.put(b"b", "overlap", [("end", b"1")])
    letters.put(None, "bad_stream_id")
    assert redrive.main(letters.options) == 0
    *streams, total = capsys.readouterr().out.splitlines()
    assert total == "4 records sent back, as 3 streams"
    assert "2 records: overlap" in streams
    sent_back = letters.sent_back()
    of_call = [chunk for chunk in sent_back if chunk.stream_id.startswith("call-7.redrive-")]
    assert [(c.codec, c.seq, c.start, c.end, len(c.payload)) for c in of_call] == [
        (AudioCodec.PCM_ALAW, None, None, False, 256),
        (AudioCodec.PCM_S16LE, None, None, False, 256),
        (AudioCodec.PCM_S16LE, None, None, True, 0),
    ]
    assert f"call-7 -> {of_call[0].stream_id}" in streams
    ends = [chunk.stream_id for chunk in sent_back if chunk.end]
    assert len(ends) == len(set(ends)) == 3
    assert letters.sent_back(letters.topics.audio) == []


def test_only_the_selected_letters_are_sent_back(
    letters: Letters, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.put(b"a", "overlap")
    letters.put(b"b", "too_long")
    chosen = ["--reason", "too_long", "--topic", letters.topics.audio]
    assert redrive.main([*letters.options, *chosen]) == 0
    assert {chunk.stream_id[:2] for chunk in letters.sent_back(letters.topics.audio)} == {"b."}
    assert redrive.main([*letters.options, "--since", "now"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 records sent back, as 0 streams"


def test_a_dry_run_sends_nothing(letters: Letters, capsys: pytest.CaptureFixture[str]) -> None:
    letters.put(b"a", "overlap")
    letters.put(b"a", "record_too_large", value=bytes((1 << 20) + 1))
    assert redrive.main([*letters.options, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "1 record: overlap",
        "1 record to send back, as 1 stream",
        "1 record cannot be sent back: too large or incomplete",
    ]
    assert letters.sent_back() == []


def test_ls_prints_one_line_per_letter_and_show_its_properties(
    letters: Letters, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.put(b"call-7", "overlap", [("codec", b"\x1b[31m")])
    letters.put(None, "bad_stream_id")
    assert dlq.main(["ls", *letters.options]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  0/0  call-7  overlap  256 B  send .*\[2J less", first
    )
    assert "\x1b" not in first
    assert "  0/1  -  bad_stream_id  256 B  " in second
    assert dlq.main(["ls", *letters.options, "--reason", "too_long"]) == 0
    assert capsys.readouterr().out == ""
    assert dlq.main(["show", *letters.options, "0/0"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.splitlines()[:3] == [
        "place: 0/0",
        f"origin: {letters.topics.audio}/0/7",
        "key: 'call-7'",
    ]
    assert "dlq.reason: overlap" in shown
    assert "header codec: '\\x1b[31m'" in shown
    assert "value: 256 bytes, sha256 40aff2e9d2d8922e47afd4648e6967497158785fbd1da870" in shown


def test_show_can_print_the_original_value(
    letters: Letters, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    letters.put(b"call-7", "overlap")
    assert dlq.main(["show", *letters.options, "0/0", "--value"]) == 0
    assert capsysbinary.readouterr().out == VALUE


def test_a_place_without_a_letter_is_a_one_line_error(
    letters: Letters, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dlq.main(["show", *letters.options, "3/5"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("streamscribe dlq: no dead letter at 3/5")


@pytest.mark.parametrize("main", [lambda o: dlq.main(["ls", *o]), redrive.main])
def test_an_absent_broker_is_a_one_line_error(
    main: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    assert main(["--bootstrap", f"127.0.0.1:{port}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f": no answer from Kafka at 127.0.0.1:{port}" in line


@pytest.mark.parametrize("place", ["3", "3/x", "-1/0"])
def test_an_invalid_place_is_a_usage_error(place: str) -> None:
    with pytest.raises(SystemExit) as raised:
        dlq.main(["show", place])
    assert raised.value.code == 2
