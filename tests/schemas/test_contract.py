"""The contract that is checked in: against the official schemas, the codec, and what it promised.

That it says what the types say, `docs/generate.py --check` holds (tests/test_docs.py).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError
from jsonschema.protocols import Validator

from schemas.audio import AudioChunk, AudioCodec, StreamOptions, Task
from schemas.codec import (
    AUDIO_HEADERS,
    EVENT_TYPES,
    WireRecord,
    decode_event,
    encode_audio,
)
from schemas.options import OPTION_HEADERS
from schemas.topics import Topics
from subscriber.jsonl import json_line

Json = dict[str, Any]

HERE = Path(__file__).parent
CONTRACT = HERE.parents[1] / "docs/contract"
ASYNCAPI: Json = yaml.safe_load((CONTRACT / "asyncapi.yaml").read_text("utf-8"))
GOLDEN = sorted((HERE / "golden").glob("*/*.txt"))
UNKNOWN = {"from_a_newer_writer": {"speaker": [1, None]}}


def official(name: str) -> Validator:
    path = HERE / "official" / name
    read = gzip.open if path.suffix == ".gz" else open
    with read(path) as file:
        return Draft7Validator(json.load(file))


def schema_of(event_type: str) -> Json:
    return cast("Json", orjson.loads((CONTRACT / f"{event_type}.json").read_bytes()))


def message(name: str) -> Json:
    return cast("Json", ASYNCAPI["components"]["messages"][name])


def golden(path: Path) -> WireRecord:
    head, _, value = path.read_bytes().partition(b"\n\n")
    key, *headers = (line.split(b": ", 1) for line in head.split(b"\n"))
    return WireRecord(key[1], value.strip(), [(name.decode(), v) for name, v in headers])


def texts(record: WireRecord) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def objects(value: object) -> Iterator[Json]:
    """Every JSON object in a value."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def test_the_document_is_asyncapi_3() -> None:
    errors = official("asyncapi-3.0.0.json.gz").iter_errors(ASYNCAPI)
    assert [f"{e.json_path}: {e.message[:200]}" for e in errors] == []


def test_a_document_that_is_not_is_refused() -> None:
    wrong = ASYNCAPI | {"channels": {"audio": {"address": 1}}}
    assert not official("asyncapi-3.0.0.json.gz").is_valid(wrong)


def test_every_reference_leads_somewhere() -> None:
    references = [o["$ref"] for o in objects(ASYNCAPI) if "$ref" in o]
    assert references
    for reference in references:
        at: Any = ASYNCAPI
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]


def test_it_names_every_public_topic_and_every_event_once() -> None:
    channels = ASYNCAPI["channels"].values()
    assert {c["address"] for c in channels} == set(Topics()) - {Topics().state}
    events = [name for c in channels for name in c["messages"] if name in EVENT_TYPES]
    assert sorted(events) == sorted(EVENT_TYPES)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_each_event_has_a_json_schema_of_its_own(event_type: str) -> None:
    schema = schema_of(event_type)
    Draft202012Validator.check_schema(schema)
    with pytest.raises(ValidationError, match="stream_id"):
        Draft202012Validator(schema).validate({})


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
class TestEveryReleasedRecord:
    def test_is_what_its_schema_says(self, path: Path) -> None:
        record = golden(path)
        Draft202012Validator(schema_of(path.stem)).validate(orjson.loads(record.value))
        Draft7Validator(message(path.stem)["headers"]).validate(texts(record))

    def test_is_a_cloud_event(self, path: Path) -> None:
        record = golden(path)
        line = json_line(decode_event(record.headers, record.value))
        official("cloudevents-1.0.json").validate(orjson.loads(line))

    def test_is_read_by_today_s_reader(self, path: Path) -> None:
        record = golden(path)
        assert path.stem == decode_event(record.headers, record.value).TYPE

    def test_is_read_when_a_newer_writer_added_to_it(self, path: Path) -> None:
        record = golden(path)
        newer = orjson.loads(record.value)
        for each in list(objects(newer)):
            each.update(UNKNOWN)
        assert newer.keys() > orjson.loads(record.value).keys()
        expected = decode_event(record.headers, record.value)
        headers = [*record.headers, ("ce_newer", b"1")]
        assert decode_event(headers, orjson.dumps(newer)) == expected
        Draft202012Validator(schema_of(path.stem)).validate(newer)

    def test_is_read_without_whatever_the_schema_does_not_require(self, path: Path) -> None:
        record = golden(path)
        schema = schema_of(path.stem)
        older = {k: v for k, v in orjson.loads(record.value).items() if k in schema["required"]}
        assert decode_event(record.headers, orjson.dumps(older)).stream_id == "call-1"


def test_the_audio_headers_are_those_that_are_read() -> None:
    assert set(message("audioChunk")["headers"]["properties"]) == AUDIO_HEADERS | OPTION_HEADERS


@pytest.mark.parametrize("codec", AudioCodec)
def test_what_the_codec_writes_is_what_the_contract_says(codec: AudioCodec) -> None:
    options = StreamOptions(("en", "zh-Hans"), "so far", "Kafka", Task.TRANSLATE, True, False, 500)
    chunk = AudioChunk(
        "call-1", b"\0\0", codec, 8_000, 2, 0, 160, 1_763_868_000_250, True, True, options
    )
    record = encode_audio(chunk)
    headers = Draft7Validator(message("audioChunk")["headers"])
    headers.validate(texts(record))
    headers.validate({})
    key = message("audioChunk")["bindings"]["kafka"]["key"]
    Draft7Validator(key).validate(record.key.decode())


@pytest.mark.parametrize(
    "wrong", [{"codec": "aac"}, {"rate": "8k"}, {"seq": "-1"}, {"end": "yes"}, {"task": "sing"}]
)
def test_the_contract_refuses_headers_that_the_codec_refuses(wrong: dict[str, str]) -> None:
    assert not Draft7Validator(message("audioChunk")["headers"]).is_valid(wrong)
