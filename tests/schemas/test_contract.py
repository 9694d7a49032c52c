"""The contract in docs/contract/ against the official schemas, the codec and released records.

tests/test_docs.py checks that it matches the types (`docs/generate.py --check`).
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

from captions.jsonl import json_line
from schemas.audio import AudioChunk, AudioCodec, StreamOptions, Task
from schemas.audio_headers import AUDIO_HEADERS
from schemas.codec import (
    EVENT_TYPES,
    WireRecord,
    decode_event,
    encode_audio,
)
from schemas.options import OPTION_HEADERS
from schemas.topics import Topics

Json = dict[str, Any]

HERE = Path(__file__).parent
CONTRACT = HERE.parents[1] / "docs/contract"
ASYNCAPI: Json = yaml.safe_load((CONTRACT / "asyncapi.yaml").read_text("utf-8"))
GOLDEN = sorted((HERE / "golden").glob("*/*.txt"))
NEWER_FIELDS = {"from_a_newer_writer": {"speaker": [1, None]}}


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
    """Yield every JSON object in a value."""
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


def test_an_invalid_document_is_rejected() -> None:
    wrong = ASYNCAPI | {"channels": {"audio": {"address": 1}}}
    assert not official("asyncapi-3.0.0.json.gz").is_valid(wrong)


def test_every_reference_resolves() -> None:
    references = [o["$ref"] for o in objects(ASYNCAPI) if "$ref" in o]
    assert references
    for reference in references:
        at: Any = ASYNCAPI
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]


def test_the_document_lists_every_public_topic_and_each_event_once() -> None:
    channels = ASYNCAPI["channels"].values()
    assert {c["address"] for c in channels} == set(Topics()) - {Topics().state}
    events = [name for c in channels for name in c["messages"] if name in EVENT_TYPES]
    assert sorted(events) == sorted(EVENT_TYPES)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_each_event_has_a_json_schema(event_type: str) -> None:
    schema = schema_of(event_type)
    Draft202012Validator.check_schema(schema)
    with pytest.raises(ValidationError, match="stream_id"):
        Draft202012Validator(schema).validate({})


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
class TestEveryReleasedRecord:
    def test_matches_its_schema(self, path: Path) -> None:
        record = golden(path)
        Draft202012Validator(schema_of(path.stem)).validate(orjson.loads(record.value))
        Draft7Validator(message(path.stem)["headers"]).validate(texts(record))

    def test_is_a_valid_cloud_event(self, path: Path) -> None:
        record = golden(path)
        line = json_line(decode_event(record.headers, record.value))
        official("cloudevents-1.0.json").validate(orjson.loads(line))

    def test_is_decoded_by_the_current_reader(self, path: Path) -> None:
        record = golden(path)
        assert path.stem == decode_event(record.headers, record.value).TYPE

    def test_is_decoded_with_fields_of_a_newer_writer(self, path: Path) -> None:
        record = golden(path)
        newer = orjson.loads(record.value)
        for each in list(objects(newer)):
            each.update(NEWER_FIELDS)
        assert newer.keys() > orjson.loads(record.value).keys()
        expected = decode_event(record.headers, record.value)
        headers = [*record.headers, ("ce_newer", b"1")]
        assert decode_event(headers, orjson.dumps(newer)) == expected
        Draft202012Validator(schema_of(path.stem)).validate(newer)

    def test_is_decoded_without_optional_fields(self, path: Path) -> None:
        record = golden(path)
        schema = schema_of(path.stem)
        older = {k: v for k, v in orjson.loads(record.value).items() if k in schema["required"]}
        assert decode_event(record.headers, orjson.dumps(older)).stream_id == "call-1"


def test_the_audio_headers_are_those_that_the_codec_reads() -> None:
    assert set(message("audioChunk")["headers"]["properties"]) == AUDIO_HEADERS | OPTION_HEADERS


@pytest.mark.parametrize("codec", AudioCodec)
def test_records_of_the_codec_match_the_contract(codec: AudioCodec) -> None:
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
def test_headers_that_the_codec_rejects_violate_the_contract(wrong: dict[str, str]) -> None:
    assert not Draft7Validator(message("audioChunk")["headers"]).is_valid(wrong)
