"""Broker addresses, parsed alike by every command and setting."""

from __future__ import annotations

import re
from typing import Final

_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:,/@\[\]]+)(?::(\d{1,5}))?")
_PORTS: Final = range(1, 65_536)
_DEFAULT_PORT: Final = 9092  # Kafka's own


def parse_bootstrap(text: str) -> str:
    """Return `HOST:PORT,HOST:PORT` without blanks; a port may be omitted (9092).

    Raises `ValueError` for anything else.
    """
    brokers = [broker.strip() for broker in text.split(",")]
    if not all(map(_is_address, brokers)):
        raise ValueError(f"{text!r} is not HOST:PORT, or several separated by commas")
    return ",".join(brokers)


def _is_address(broker: str) -> bool:
    found = _ADDRESS.fullmatch(broker)
    return found is not None and int(found[1] or _DEFAULT_PORT) in _PORTS
