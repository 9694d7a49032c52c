from __future__ import annotations

from pathlib import Path

from schemas.topics import Topics
from transport.acls import Acl, Operation, Resource, Role, acls

TOPICS = Topics("calls")


def rights(role: Role) -> set[tuple[str, str]]:
    return {(acl.name, acl.operation) for acl in acls(role, TOPICS, "night")}


def test_a_publisher_may_only_write_audio() -> None:
    assert rights(Role.PUBLISHER) == {(TOPICS.audio, "Write"), (TOPICS.audio_bulk, "Write")}


def test_a_reader_may_only_read_transcripts() -> None:
    assert rights(Role.READER) == {(TOPICS.transcripts, "Read"), (TOPICS.partials, "Read")}


def test_a_worker_never_writes_audio_nor_reads_its_own_output() -> None:
    worker = rights(Role.WORKER)
    assert (TOPICS.audio, "Read") in worker
    assert (TOPICS.audio, "Write") not in worker
    assert (TOPICS.transcripts, "Read") not in worker
    assert ("night", "Read") in worker


def test_transactional_ids_have_the_prefix_of_the_group() -> None:
    (ids,) = (a for a in acls(Role.WORKER, TOPICS, "night") if a.resource == "transactional-id")
    assert (ids.name, ids.operation, ids.prefixed) == ("stt.night.", Operation.WRITE, True)


def test_only_the_operator_may_create_topics() -> None:
    creators = {role for role in Role if any(op == "Create" for _, op in rights(role))}
    assert creators == {Role.OPERATOR}


def test_an_acl_is_one_command_of_kafka_s_tool() -> None:
    acl = Acl(Resource.TRANSACTIONAL_ID, "stt.a.", Operation.WRITE, prefixed=True)
    assert acl.command("User:w") == (
        "kafka-acls.sh --add --allow-principal User:w --operation Write"
        " --transactional-id stt.a. --resource-pattern-type prefixed"
    )


def test_the_table_in_the_docs_lists_these_acls() -> None:
    """The table in docs/security.md has the default names."""
    page = (Path(__file__).parents[2] / "docs/security.md").read_text("utf-8")
    lines = page[page.index("| Resource |") :].splitlines()
    _, *roles = cells(lines[0])
    documented: set[tuple[str, str, str]] = set()
    for line in lines[2 : lines.index("")]:
        resources, *rights = cells(line)
        names = resources.split("`")[1::2] or list(Topics())
        documented |= {
            (role, name, operation)
            for role, right in zip(roles, rights, strict=True)
            for operation in filter(None, right.split(", "))
            for name in names
        }
    assert documented == {
        (role, acl.name, acl.operation)
        for role in Role
        for acl in acls(role, Topics(), "streamscribe")
    }


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
