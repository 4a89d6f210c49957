"""Columns with their meaning: an Arrow field that carries a comment."""

from __future__ import annotations

import pyarrow as pa

_COMMENT = b"comment"


def described(name: str, type_: pa.DataType, meaning: str, nullable: bool = False) -> pa.Field:
    """A column, and what its values mean, in which unit. It equals the field without it."""
    return pa.field(name, type_, nullable, {_COMMENT: meaning})


def meaning(field: pa.Field) -> str:
    """What a column's values mean; empty if nobody said so."""
    return (field.metadata or {}).get(_COMMENT, b"").decode()
