"""The comments of fields in the source, which give meaning and unit."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
from collections.abc import Iterator


def field_comments(kind: type) -> dict[str, str]:
    """Return the comment of each field that has one, base classes included."""
    return {
        name: comment
        for base in reversed(kind.__mro__)
        if dataclasses.is_dataclass(base)
        for name, comment in _own_comments(textwrap.dedent(inspect.getsource(base)))
    }


def _own_comments(source: str) -> Iterator[tuple[str, str]]:
    comments = dict(_comments_by_line(source))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if description := " ".join(comments[line] for line in lines if line in comments):
                yield node.target.id, description


def _comments_by_line(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
