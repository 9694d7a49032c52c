"""Events as JSON lines: one CloudEvent 1.0 in structured mode per line."""

from __future__ import annotations

import orjson

from schemas.codec import encode_event
from schemas.transcript import AnyEvent


def json_line(event: AnyEvent) -> bytes:
    """Return the event as one line: the CloudEvents attributes, then `data`, and a line end."""
    record = encode_event(event)
    attributes = {_attribute(name): value.decode() for name, value in record.headers}
    return orjson.dumps(attributes | {"data": orjson.Fragment(record.value)}) + b"\n"


def _attribute(header: str) -> str:
    return "datacontenttype" if header == "content-type" else header.removeprefix("ce_")
