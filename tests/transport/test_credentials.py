"""Secrets that change while a client runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from secure_kafka import PASSWORD, SecureKafka

from transport.credentials import Credentials
from transport.diagnosis import diagnose
from transport.security import Security, SecurityProtocol

NEW = "new-staple-5d1e"


def change(path: str, text: str) -> None:
    """Replace the file atomically, as secret managers do."""
    fresh = Path(f"{path}.new")
    fresh.write_text(text)
    fresh.replace(path)


@asynccontextmanager
async def closed(client: AIOKafkaClient) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await client.close()


async def test_the_next_connection_uses_the_new_password(secure_kafka: SecureKafka) -> None:
    security = replace(
        secure_kafka.security("rotating"), sasl_password_file=secure_kafka.file("own", PASSWORD)
    )
    credentials = Credentials(security)
    client = AIOKafkaClient(bootstrap_servers=secure_kafka.sasl_tls, **credentials.arguments)
    credentials.attach(client)
    async with asyncio.timeout(30), closed(client):
        await client.bootstrap()
        await secure_kafka.set_password("rotating", NEW)
        while await diagnose(secure_kafka.sasl_tls, security) is None:
            pass  # the change has not reached the broker yet
        with pytest.raises(KafkaConnectionError):
            await client.bootstrap()
        assert not credentials.refresh()
        change(security.sasl_password_file, NEW)
        assert credentials.refresh()
        await client.bootstrap()


async def test_an_unusable_new_secret_leaves_the_old_one_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transport.credentials.REFRESH_S", 0.0)
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    security = Security(
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        sasl_username="u",
        sasl_password_file=str(password),
    )
    credentials = Credentials(security)
    assert not credentials.refresh()
    change(str(password), "")
    assert not credentials.refresh()
    password.unlink()
    assert not credentials.refresh()
    assert credentials.arguments["sasl_plain_password"] == PASSWORD
    change(str(password), NEW)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await credentials.watch()
    assert credentials.arguments["sasl_plain_password"] == NEW
    assert PASSWORD not in caplog.text
    assert NEW not in caplog.text
