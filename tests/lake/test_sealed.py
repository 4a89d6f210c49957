"""A sealed document, or a file that is named by its digest, cannot be taken for another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clicklake.errors import DamagedError
from clicklake.lake.sealed import Stored, seal, unseal
from clicklake.storage import LocalStorage

DOCUMENT = {"run_id": "r", "rows": 12, "files": [{"path": "a", "rows": 12}]}


def test_what_was_sealed_comes_back() -> None:
    assert unseal(seal(DOCUMENT), "here") == DOCUMENT
    assert json.loads(seal(DOCUMENT))["rows"] == 12  # any reader of JSON can have it


@pytest.mark.parametrize("old, new", [(b"12", b"13"), (b'"r"', b'"s"'), (b'"a"', b'"b"')])
def test_what_was_altered_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(DamagedError, match="here: is damaged"):
        unseal(seal(DOCUMENT).replace(old, new, 1), "here")


def test_a_document_of_another_time_is_refused_where_its_digest_is_known(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    stored = Stored.of("x.json", seal(DOCUMENT))
    storage.write("x.json", seal(DOCUMENT | {"rows": 11}))
    with pytest.raises(DamagedError, match="written otherwise"):
        stored.read(storage)
    storage.write("x.json", seal(DOCUMENT))
    assert stored.read(storage) == seal(DOCUMENT)
