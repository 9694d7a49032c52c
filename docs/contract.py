"""The wire format for other tools: JSON Schemas of the events, and one AsyncAPI 3 document.

Both are made of the types in `schemas/`, of the comments beside their fields and of the topics'
own settings; `docs/generate.py` writes them to `docs/contract/`, and a test fails when they drift.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
import yaml
from field_comments import field_comments

from schemas import audio, transcript
from schemas.audio import AudioCodec, Task
from schemas.codec import EVENT_SOURCE, EVENT_TYPES
from schemas.errors import Reason
from schemas.languages import AUTO
from schemas.options import OPTION_HEADERS
from schemas.topics import MAX_STREAM_ID_CHARACTERS, Topics, topic_specs
from schemas.transcript import AnyEvent

Json = dict[str, Any]

WIRE_VERSION: Final = "1.1.0"  # of the contract: the topics end in its first number
KAFKA_BINDING: Final = "0.5.0"
GOLDEN: Final = Path(__file__).parent.parent / "tests/schemas/golden" / WIRE_VERSION
MADE: Final = "Made by docs/generate.py: change schemas/, then run `make docs`.\n"
ON_PARTIALS: Final = ("speech.transcript.partial", "speech.utterance.started")
OF_EVENTS: Final = (Reason.UNKNOWN_EVENT, Reason.BAD_EVENT)  # never in a dead letter

STREAM_ID: Final[Json] = {
    "type": "string",
    "pattern": rf"^[A-Za-z0-9._:-]{{1,{MAX_STREAM_ID_CHARACTERS}}}$",
}


def text(description: str, **more: Any) -> Json:
    return {"type": "string", "description": description, **more}


def number(description: str) -> Json:
    return text(description, pattern="^[0-9]{1,16}$")


def switch(description: str, *values: str) -> Json:
    return text(description, enum=list(values))


AUDIO_HEADERS: Final[Json] = {
    "codec": text("FFmpeg's name", enum=list(AudioCodec), default=AudioCodec.PCM_S16LE.value),
    "rate": number(f"Hz, {audio.MIN_RATE}-{audio.MAX_RATE}"),
    "channels": switch(
        "mixed down to mono, or a stream a channel by the worker's setting", "1", "2"
    ),
    "seq": number("+1 a chunk, from any start: finds gaps, duplicates, disorder"),
    "start": number("index of the chunk's first sample in the stream"),
    "captured_ms": number("Unix time of the first sample"),
    "end": switch("1: last record of the stream", "1", "0"),
    "flush": switch("1: the open utterance ends here", "1", "0"),
    "traceparent": text("W3C trace context, carried through to the events"),
    "run": text(
        "id of the publisher's run, on every record: with another one, a session begins",
        pattern="^[A-Za-z0-9._:-]{1,64}$",
    ),
    "language": text(f"BCP 47 tag, several with commas, or {AUTO}; on the first record"),
    "prompt": text("taken to come before the speech", maxLength=audio.MAX_PROMPT_CHARACTERS),
    "hotwords": text("words to expect", maxLength=audio.MAX_PROMPT_CHARACTERS),
    "task": text("translate: into English", enum=list(Task)),
    "words": switch("word times", "1", "0"),
    "partials": switch("interim results", "1", "0"),
    "endpoint_ms": text(
        f"silence that ends an utterance, {audio.MIN_ENDPOINT_MS}-{audio.MAX_ENDPOINT_MS} ms",
        pattern="^[0-9]{3,4}$",
    ),
}
DEAD_LETTER_HEADERS: Final[Json] = {
    "dlq.reason": text("stable code", enum=[r for r in Reason if r not in OF_EVENTS]),
    "dlq.message": text("what to change"),
    "dlq.topic": text("where the record was"),
    "dlq.partition": number("where the record was"),
    "dlq.offset": number("where the record was"),
    "dlq.records": number("of an unreadable batch: the number of its records"),
    "dlq.last_offset": number("of an unreadable batch: the offset of its last record"),
    "dlq.timestamp": text("Unix ms of the record", pattern="^-?[0-9]{1,19}$"),
    "dlq.worker": text("who refused it"),
    **{f"dlq.option.{name}": AUDIO_HEADERS[name] for name in sorted(OPTION_HEADERS)},
}


def event_headers(event_type: str) -> Json:
    """CloudEvents 1.0 in Kafka's binary binding."""
    headers = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": text("<stream>/<session>/<name>: the same on every run over the same log"),
        "ce_source": {"type": "string", "const": EVENT_SOURCE},
        "ce_type": {"type": "string", "const": event_type},
        "ce_subject": STREAM_ID | {"description": "the stream"},
        "ce_time": text("of the audio's last sample", format="date-time"),
        "ce_sequence": text("the event's index in its session", pattern="^[0-9]{10,}$"),
        "content-type": {"type": "string", "const": "application/json"},
    }
    trace = {"traceparent": text("W3C trace context, as the publisher sent it")}
    return {"type": "object", "properties": headers | trace, "required": list(headers)}


def components(reference: str) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return the schemas of events by `ce_type`, and those that they refer to by name."""
    kinds = list(EVENT_TYPES.values())
    _, named = msgspec.json.schema_components(kinds, ref_template=f"{reference}/{{name}}")
    for name, schema in named.items():
        describe(schema, field_comments(getattr(transcript, name)))
    events = {kind.TYPE: named.pop(kind.__name__) for kind in kinds}
    return events, named


def describe(schema: Json, comments: Mapping[str, str]) -> None:
    for name, field in schema.get("properties", {}).items():
        if name in comments:
            field["description"] = comments[name]


def json_schemas() -> dict[str, str]:
    """Return the JSON Schema of each event, self-contained, by file."""
    events, named = components("#/$defs")
    return {
        f"{event_type}.json": pretty(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$comment": MADE.strip(),
                **schema,
                "$defs": {name: named[name] for name in sorted(mentioned(schema, named))},
            }
        )
        for event_type, schema in events.items()
    }


def mentioned(schema: Json, named: Mapping[str, Json]) -> set[str]:
    """Return the names that a schema refers to, directly or not."""
    found = set(re.findall(r"#/\$defs/(\w+)", orjson.dumps(schema).decode()))
    return found.union(*(mentioned(named[name], named) for name in found))


def pretty(schema: Json) -> str:
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def asyncapi() -> str:
    events, named = components("#/components/schemas")
    messages = {
        "audioChunk": audio_message(),
        "deadLetter": dead_letter_message(),
        **{event_type: event_message(event_type, schema) for event_type, schema in events.items()},
    }
    document = {
        "asyncapi": "3.0.0",
        "info": info(),
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": dict(channels()),
        "operations": {
            "transcribe": operation("receive", "audio", "Audio in: live speech, served first."),
            "transcribeFiles": operation("receive", "audioBulk", "Audio in: files and replays."),
            "publishTranscripts": operation("send", "transcripts", "Finals and stream events."),
            "publishPartials": operation("send", "partials", "Interim results."),
            "refuse": operation("send", "audioDlq", "Records that cannot be used."),
        },
        "components": {"messages": messages, "schemas": named, "securitySchemes": SECURITY},
    }
    return f"# {MADE}{yaml.dump(plain(document), sort_keys=False, allow_unicode=True, width=100)}"


SECURITY: Final = {
    "scram256": {"type": "scramSha256"},
    "scram512": {"type": "scramSha512"},
    "plain": {"type": "plain"},
    "certificate": {"type": "X509"},
    "token": {"type": "http", "scheme": "bearer", "description": "SASL OAUTHBEARER"},
}


def info() -> Json:
    return {
        "title": "streamscribe",
        "version": WIRE_VERSION,
        "description": "Speech recognition as a Kafka consumer group: audio in, transcripts out.",
        "license": {"name": "Apache-2.0"},
    }


def servers() -> Json:
    return {
        "local": {"host": "localhost:9092", "protocol": "kafka", "description": "no security"},
        "secure": {
            "host": "localhost:9093",
            "protocol": "kafka-secure",
            "description": "TLS; one of these to authenticate",
            "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in SECURITY],
        },
    }


def channels() -> Iterable[tuple[str, Json]]:
    topics = Topics()
    final = [name for name in EVENT_TYPES if name not in ON_PARTIALS]
    audio_in = "Any client; key = stream id, hashed with murmur2. Every header is optional."
    yield "audio", channel(topics.audio, ["audioChunk"], audio_in)
    yield "audioBulk", channel(topics.audio_bulk, ["audioChunk"], audio_in)
    yield "transcripts", channel(topics.transcripts, final, "Read with read_committed.")
    yield "partials", channel(topics.partials, ON_PARTIALS, "May be lost or repeated.")
    yield "audioDlq", channel(topics.audio_dlq, ["deadLetter"], "As it came, and the reason.")


def channel(topic: str, messages: Iterable[str], description: str) -> Json:
    (spec,) = (spec for spec in topic_specs(Topics(), replication_factor=3) if spec.name == topic)
    configuration = {
        "cleanup.policy": [spec.required["cleanup.policy"]],
        "retention.ms": int(spec.initial["retention.ms"]),
    }
    if "max.message.bytes" in spec.required:
        configuration["max.message.bytes"] = spec.required["max.message.bytes"]
    return {
        "address": topic,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": kafka(topicConfiguration=configuration),
    }


def operation(action: str, name: str, description: str) -> Json:
    return {"action": action, "channel": {"$ref": f"#/channels/{name}"}, "summary": description}


def kafka(**binding: Any) -> Json:
    return {"kafka": {**binding, "bindingVersion": KAFKA_BINDING}}


def audio_message() -> Json:
    return {
        "contentType": "application/octet-stream",
        "summary": "The audio of one chunk, which decodes alone; empty only with `end` or `flush`.",
        "headers": {"type": "object", "properties": AUDIO_HEADERS},
        "payload": {"type": "string", "format": "binary", "maxLength": audio.MAX_RECORD_BYTES},
        "bindings": kafka(key=STREAM_ID),
    }


def dead_letter_message() -> Json:
    headers = {"type": "object", "properties": DEAD_LETTER_HEADERS, "required": ["dlq.reason"]}
    return {
        "contentType": "application/octet-stream",
        "summary": "A record that cannot be used, with its own key, value and headers.",
        "headers": headers,
        "payload": {"type": "string", "format": "binary"},
    }


def event_message(event_type: str, schema: Json) -> Json:
    kind: type[AnyEvent] = EVENT_TYPES[event_type]
    return {
        "name": event_type,
        "title": kind.__name__,
        "contentType": "application/json",
        "headers": event_headers(event_type),
        "payload": schema,
        "bindings": kafka(key=STREAM_ID),
        "examples": [example(event_type)],
    }


def example(event_type: str) -> Json:
    """The golden record: what this release writes, and every later one reads."""
    head, _, value = (GOLDEN / f"{event_type}.txt").read_text(encoding="utf-8").partition("\n\n")
    lines = [line.partition(": ") for line in head.splitlines()]
    headers = {name: value for name, _, value in lines if name != "key"}
    return {"headers": headers, "payload": orjson.loads(value)}


def plain(document: Json) -> Any:
    """Return the value without enums, tuples and shared objects, which YAML would tag."""
    return orjson.loads(orjson.dumps(document))


def files() -> dict[str, str]:
    """Return the text of each file of `docs/contract/`."""
    return {"asyncapi.yaml": asyncapi(), **json_schemas()}
