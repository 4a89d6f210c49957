"""Codes of texts, against dictionaries of Python; checksums, against zlib."""

from __future__ import annotations

import zlib
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from clicklake.parse import compiled as kernels
from clicklake.parse import interning, texts
from clicklake.parse.compiled import texts as compiled_texts
from clicklake.parse.interning import Interner, checksums
from clicklake.parse.texts import TextColumn


def _texts(values: list[bytes]) -> TextColumn:
    """TextColumn with nothing between them, or before the first and behind the last."""
    edges = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return TextColumn(b"".join(values), edges[:-1], edges[1:], kernels)


def _encoded(interner: Interner, values: list[bytes]) -> pa.DictionaryArray:
    return interner.encode(_texts(values), np.arange(len(values)))


def _as_python(values: list[bytes]) -> list[str | None]:
    return [value.decode() or None for value in values]


def test_texts_that_differ_little() -> None:
    """Of every length up to 40, one byte changed at each place; zeros count as well."""
    values = [b"", b"\0", b"a\0", b"\0a", b"a\0\0"]
    for size in range(1, 41):
        word = bytes(65 + at % 26 for at in range(size))
        values += [word, *(word[:at] + b"*" + word[at + 1 :] for at in range(size))]
    interner = Interner()
    found = _encoded(interner, values * 2)
    assert found.to_pylist() == _as_python(values * 2)
    codes = set(found.indices.to_pylist())
    assert len(interner.values) == len(codes) - 1 == len(set(values)) - 1  # all but the empty one


@pytest.mark.slow
def test_many_texts_in_many_pieces() -> None:
    """Tables and texts grow; what was returned before stays as it was."""
    rng = Random(1)
    vocabulary = [
        rng.randbytes(rng.choice((1, 5, 8, 12, 16, 17, 36, 300))).hex() for _ in range(9999)
    ]
    vocabulary += ["", "x" * 500_000, "y" * 400_000]
    interner, pieces, oracle = Interner(), [], {}
    for _ in range(40):
        values = [rng.choice(vocabulary).encode() for _ in range(rng.randrange(2000))]
        pieces.append((values, _encoded(interner, values)))
    for values, found in pieces:
        assert found.to_pylist() == _as_python(values)
        for value, code in zip(values, found.indices.to_pylist(), strict=True):
            assert oracle.setdefault(value, code) == code
    assert len(interner.values) == len(set(oracle.values()) - {None})


def test_some_rows_of_some_texts() -> None:
    values = [b"a", b"", b"b", b"a", b"c"]
    found = Interner().encode(_texts(values), np.array([3, 1, 4]))
    assert found.to_pylist() == ["a", None, "c"]
    assert found.dictionary.to_pylist() == ["a", "c"]


@pytest.mark.slow
def test_other_keys_of_the_hash_for_each() -> None:
    """What collides cannot be known to those who write the logs."""
    data = np.frombuffer(b"a text to be hashed", np.uint8)
    found = {compiled_texts._hash(data, 0, len(data), Interner()._keys) for _ in range(50)}
    assert len(found) > 45


@pytest.mark.parametrize("compiled", [None, kernels], ids=["Python", "compiled"])
def test_checksums(compiled: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interning, "kernels", lambda: compiled)
    rng = Random(2)
    values = ["", "a", "\u00fc", *(rng.randbytes(size).hex() for size in range(99))]
    every = pa.array(values)
    assert checksums(every).tolist() == [zlib.crc32(value.encode()) for value in values]
    assert checksums(every[5:9]).tolist() == [zlib.crc32(value.encode()) for value in values[5:9]]


def test_the_scanner_is_there_where_much_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_expected", 0)
    texts.expect(4 << 20)
    assert texts.kernels() is None
    texts.expect(1)
    assert texts.kernels() is kernels


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 17, 25, 40])
def test_texts_of_one_hash_are_compared_to_the_last_byte(size: int) -> None:
    """TextColumn with the same hash are rare: the comparison that tells them apart, by itself."""
    word = bytes(65 + at % 26 for at in range(size))
    data = np.frombuffer(b"x" + word + b"yyyyyyyy", np.uint8)

    def is_text(other: bytes) -> bool:
        texts = np.frombuffer(b"zzz" + other + b"yyyyyyyy", np.uint8)
        return bool(compiled_texts._is_text(data, 1, 1 + size, texts, 3, 3 + len(other)))

    assert is_text(word)
    assert not is_text(word + b"y")
    assert not any(is_text(word[:at] + b"*" + word[at + 1 :]) for at in range(size))
