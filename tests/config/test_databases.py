"""The URLs of databases: what is understood, and that nothing of a refused one is ever shown."""

from __future__ import annotations

import pytest

from clicklake import config
from clicklake.config import databases
from clicklake.errors import ConfigError

SECRET = "PgS3cret"

WITH_SECRET = (
    "postgresql://joe:PgS3cret@host/db",
    "postgresql://joe:PgS3cret/pa55@host/db",
    "postgresql://joe:PgS3cret?pa55@host/db",
    "postgresql://joe:PgS3cret#pa55@host/db",
    "postgresql://joe:PgS3cret@pa55@host/db",
    "postgresql://joe:x:PgS3cret@host/db",
    "postgresql://joe%3APgS3cret@host/db",
    "postgresql://:PgS3cret@host/db",
    "postgresql://joe@host:PgS3cret/db",
    "postgresql://joe@host/db?password=PgS3cret",
    "postgresql://joe@host/db?PASSWORD=PgS3cret",
    "postgresql://joe@host/db?%70assword=PgS3cret",
    "postgresql://joe@host/db?sslpassword=PgS3cret",
    "postgresql://joe@host/db?sslmode=require&passwd=PgS3cret",
    "postgresql://joe@host/db?PgS3cret",
    "postgresql://joe@host/db#PgS3cret",
    "postgresql://joe@host/db:PgS3cret",
    "postgresql://joe@host/db/PgS3cret",
    "postgresql://joe@host/db PgS3cret",
    "postgresql:///db?host=joe:PgS3cret@host",
    "postgresql:/joe:PgS3cret@host/db",
    "postgresql:joe:PgS3cret@host/db",
    "host=host user=joe password=PgS3cret",
    "mysql://joe:PgS3cret@host/db",
    "duckdb://joe:PgS3cret@host/db",
    "sqlite://PgS3cret",
    "duckdb:///",
)


@pytest.mark.parametrize("section", ["DATABASE", "STREAM"])
@pytest.mark.parametrize("url", WITH_SECRET)
def test_a_refused_url_is_not_shown(section, url, tmp_path):
    key = "URL" if section == "DATABASE" else "DATABASE"
    (tmp_path / "dl.cfg").write_text(f"[{section}]\n{key} = {url}\n")
    with pytest.raises(ConfigError) as refusal:
        config.load(tmp_path / "dl.cfg")
    message = str(refusal.value)
    assert f"[{section}] {key}" in message
    assert not [part for part in (SECRET, "pa55", "joe") if part in message]


UNDERSTOOD = {
    "postgresql://joe@db.example.com:5433/shop?sslmode=require": (
        "postgresql",
        "postgresql://db.example.com:5433/shop",
    ),
    "postgres://db/shop": ("postgresql", "postgresql://db/shop"),
    "postgresql://joe%40tenant@[::1]:5432/shop": ("postgresql", "postgresql://[::1]:5432/shop"),
    "postgresql://joe@/shop?host=/run/postgresql": ("postgresql", "postgresql:///shop"),
    "postgresql://one:5432,two:5432/shop": ("postgresql", "postgresql://one:5432,two:5432/shop"),
    "duckdb:////data/lake.duckdb": ("duckdb", "duckdb:////data/lake.duckdb"),
    "sqlite:////data/a b.sqlite": ("sqlite", "sqlite:////data/a b.sqlite"),
}


@pytest.mark.parametrize("url", UNDERSTOOD)
def test_what_is_understood(url):
    found = databases.parse(url)
    assert (found.kind, str(found)) == UNDERSTOOD[url]


def test_the_two_databases_must_differ_before_anything_runs(tmp_path):
    text = "[DATABASE]\nURL = sqlite:///one.db\nSTAGING_URL = sqlite:///{}/one.db\n"
    (tmp_path / "dl.cfg").write_text(text.format(tmp_path))
    with pytest.raises(ConfigError, match="STAGING_URL"):
        config.load(tmp_path / "dl.cfg")


def test_the_default_database_is_no_place_for_staging(tmp_path):
    text = f"[DATALAKE]\nOUTPUT_DATA = lake\n[DATABASE]\nSTAGING_URL = duckdb:///{tmp_path}/lake.duckdb"
    (tmp_path / "dl.cfg").write_text(text)
    with pytest.raises(ConfigError, match="STAGING_URL"):
        config.load(tmp_path / "dl.cfg")
