"""The URLs of databases. Nothing of one that is refused may be shown: it may hold a password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FORMS = "duckdb:///FILE, sqlite:///FILE, postgresql://USER@HOST:PORT/NAME?OPTION=VALUE or none"
_ADVICE = "A password belongs into PGPASSWORD or ~/.pgpass, never into the URL"

_FILE = re.compile(r"(duckdb|sqlite):///(.*[^/\s].*)")
_HOST = r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_SERVER = re.compile(
    r"postgres(?:ql)?://"
    r"(?:(?P<user>[^\s:/?#@]+)@)?"
    rf"(?P<hosts>(?:{_HOST}(?:,{_HOST})*)?)"
    r"/(?P<name>[^\s:/?#@]+)"
    r"(?:\?(?P<options>[^\s#]*))?"
)

# The options of libpq that hold no secret.
_OPTIONS = re.compile(
    r"host|hostaddr|port|passfile|require_auth|channel_binding|connect_timeout|"
    r"client_encoding|application_name|keepalives|keepalives_idle|keepalives_interval|"
    r"keepalives_count|tcp_user_timeout|sslmode|sslnegotiation|sslcompression|sslcert|"
    r"sslkey|sslrootcert|sslcrl|sslcrldir|sslsni|sslcertmode|requirepeer|"
    r"ssl_min_protocol_version|ssl_max_protocol_version|krbsrvname|gsslib|gssencmode|"
    r"target_session_attrs|load_balance_hosts|options"
)


@dataclass(frozen=True)
class DatabaseUrl:
    """A URL that was understood. `place`: the file, or the server and the database's name."""

    url: str
    kind: str  # duckdb, sqlite or postgresql
    place: str

    @property
    def path(self) -> Path:
        """The file of DuckDB or SQLite."""
        return Path(self.place).expanduser().absolute()

    def is_same(self, other: DatabaseUrl) -> bool:
        if "postgresql" in (self.kind, other.kind):
            return (self.kind, self.place) == (other.kind, other.place)
        return self.path.resolve() == other.path.resolve()

    def __str__(self) -> str:
        """The URL without user and options, as it may be shown."""
        is_file = self.kind != "postgresql"
        return f"{self.kind}:///{self.path}" if is_file else f"{self.kind}://{self.place}"


def parse(url: str) -> DatabaseUrl:
    """Raises ValueError with what the URL must be; the message holds nothing of it."""
    if found := _FILE.fullmatch(url):
        return DatabaseUrl(url, found[1], found[2])
    found = _SERVER.fullmatch(url)
    if not found or ":" in unquote(found["user"] or ""):
        raise ValueError(f"{_FORMS}. {_ADVICE}")
    options = [part.partition("=") for part in (found["options"] or "").split("&") if part]
    if not all(
        _OPTIONS.fullmatch(name) and value and "@" not in value for name, _, value in options
    ):
        raise ValueError(f"{_FORMS}, with options that libpq knows. {_ADVICE}")
    return DatabaseUrl(url, "postgresql", f"{found['hosts']}/{found['name']}")


def targets(url: str, staging_url: str, lake: str) -> tuple[DatabaseUrl | None, DatabaseUrl | None]:
    """The databases for readers and for staging, of two URLs that were checked.

    An empty `url` is `lake.duckdb` beside a local folder `lake`, and nothing beside one on S3.
    Raises ValueError if both are the same.
    """
    main = _beside(lake) if url == "" else None if url == "none" else parse(url)
    staging = parse(staging_url) if staging_url not in ("", "none") else None
    if main and staging and main.is_same(staging):
        raise ValueError(f"URL and STAGING_URL are both {main}; staging needs one of its own")
    return main, staging


def _beside(lake: str) -> DatabaseUrl | None:
    parts = urlsplit(lake)
    if parts.scheme in ("s3", "s3a"):
        return None
    folder = Path(unquote(parts.path) if parts.scheme == "file" else lake).expanduser().absolute()
    return parse(f"duckdb:///{folder}.duckdb")


def check(value: str) -> str:
    """A URL, or `none`, or nothing, as a key of the configuration may have it."""
    if value.lower() in ("", "none"):
        return value.lower()
    return parse(value).url
