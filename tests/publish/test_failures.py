"""What a database's failure says: the place, the cause, what to do, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from adbc_driver_manager import OperationalError, ProgrammingError

import servers
from clicklake.config import Config, Csv, Database, DataLake
from clicklake.errors import AccessError, PublicationError
from clicklake.publish import publish, sqlite
from fake_lake import write_lake

IO = 10  # a status code of ADBC


def config(lake: Path, url: str) -> Config:
    return Config(
        datalake=DataLake(output_data=str(lake)), database=Database(url), csv=Csv(enabled=False)
    )


def failure(lake: Path, url: str) -> AccessError:
    with pytest.raises(AccessError) as caught:
        publish(write_lake(lake), config(lake, url), [])
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "no-such-host.invalid"])
def test_a_database_that_cannot_be_reached_has_an_exit_code_of_its_own(tmp_path, host):
    place = host.format(port=servers.free_port())
    error = failure(tmp_path / "lake", f"postgresql://joe@{place}/shop?connect_timeout=5")
    assert isinstance(error, PublicationError)
    assert error.exit_code == 7
    first, rest = str(error).split("\n", 1)
    assert first.startswith(f"postgresql://{place}/shop: cannot be reached: ")
    assert "The lake itself is complete; run again" in rest
    assert "libpq" not in str(error)


@pytest.fixture
def failing(monkeypatch):
    """SQLite's driver says what a test wants it to say."""

    def fail(error: Exception):
        def raise_it(*_):
            raise error

        monkeypatch.setattr(sqlite, "publish", raise_it)

    return fail


def test_neither_rows_nor_secrets_of_a_drivers_error_are_shown(tmp_path, failing, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "PgS3cret")
    failing(
        ProgrammingError(
            "INTERNAL: [libpq] ERROR: PgS3cret\x1b[2J is no number\nDETAIL: row (ann@example.com)",
            status_code=IO,
            sqlstate="22000",
        )
    )
    message = str(failure(tmp_path / "lake", f"sqlite:///{tmp_path}/x.sqlite"))
    assert "ERROR: ***?[2J is no number" in message
    assert not [part for part in ("PgS3cret", "ann@", "\x1b") if part in message]


def test_a_refused_right_is_no_unreachable_database(tmp_path, failing):
    denied = "INVALID_ARGUMENT: ERROR: permission denied for schema public"
    failing(OperationalError(denied, status_code=IO, sqlstate="42501"))
    error = failure(tmp_path / "lake", f"sqlite:///{tmp_path}/x.sqlite")
    assert (type(error), error.exit_code) == (AccessError, 3)


def test_a_long_cause_is_cut(tmp_path, failing):
    failing(OperationalError("IO: " + "x" * 10_000, status_code=IO))
    assert len(str(failure(tmp_path / "lake", f"sqlite:///{tmp_path}/x.sqlite"))) < 1000
