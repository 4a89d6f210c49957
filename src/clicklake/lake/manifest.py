"""The manifest: all that makes one state of the lake, and by which rules it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from clicklake.errors import DamagedError
from clicklake.lake import sealed
from clicklake.lake.sealed import Stored
from clicklake.schemas import TIMESTAMP, Table

# Of the state on disk. 1 had neither checksums nor definitions; up to 2 a table's files lay in its
# folder alone, and no earlier state was kept.
FORMAT = 3
SEALED, RETAINED = 2, 3

NEVER = datetime(1970, 1, 1, tzinfo=UTC)

Month = tuple[int, int]

_TYPES = {
    str(type_): type_
    for type_ in (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()),
        *(pa.bool_(), pa.string(), pa.date32(), TIMESTAMP),
    )
}


@dataclass(frozen=True)
class LiveFile:
    """A Parquet file of a table."""

    path: str
    rows: int
    bytes: int

    @property
    def table(self) -> str:
        return self.path.partition("/")[0]

    @property
    def month(self) -> Month | None:
        """Year and month of a file of a monthly table."""
        return month_of(self.path)


def month_of(path: str) -> Month | None:
    """Year and month of the folder that a path is in; None if it is in no month's."""
    values = partition_values(path)
    return (int(values["year"]), int(values["month"])) if "year" in values else None


def partition_values(path: str) -> dict[str, str]:
    """`year=2018/month=4` of a path as a dict."""
    return dict(part.split("=", 1) for part in path.split("/") if "=" in part)


@dataclass(frozen=True)
class Definition:
    """What a table's files hold: their columns, and the version of the rules behind them."""

    schema: pa.Schema
    rules: int

    @classmethod
    def of(cls, table: Table) -> Definition:
        return cls(table.schema, table.rules)

    def to_json(self) -> dict[str, Any]:
        columns = [[field.name, str(field.type), field.nullable] for field in self.schema]
        return {"columns": columns, "rules": self.rules}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Definition:
        fields = [pa.field(name, _TYPES[type_], null) for name, type_, null in raw["columns"]]
        return cls(pa.schema(fields), raw["rules"])


@dataclass(frozen=True)
class Past:
    """A state that was the lake from `committed_at` until `until`."""

    seq: int
    run_id: str
    committed_at: datetime
    until: datetime

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Past:
        times = {name: datetime.fromisoformat(raw[name]) for name in ("committed_at", "until")}
        return cls(**{**raw, **times})


@dataclass(frozen=True)
class Manifest:
    """One state of the lake.

    `settings`: those of dl.cfg that the clickstream was computed with. `ledger`: for each source
    the file that lists the input files that were read. `documents`: other state, by name.
    `history`: earlier states that are kept, oldest first.
    """

    run_id: str = ""
    seq: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, tuple[LiveFile, ...]] = field(default_factory=dict)
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    ledger: Mapping[str, Stored] = field(default_factory=dict)
    documents: Mapping[str, Stored] = field(default_factory=dict)
    history: tuple[Past, ...] = ()
    committed_at: datetime = NEVER
    format: int = FORMAT

    def files(self, table: str, months: Iterable[Month] | None = None) -> list[LiveFile]:
        wanted = None if months is None else set(months)
        return [f for f in self.tables.get(table, ()) if wanted is None or f.month in wanted]

    def months(self, table: str) -> list[Month]:
        return sorted({file.month for file in self.files(table) if file.month})

    @property
    def all_files(self) -> list[LiveFile]:
        return [file for files in self.tables.values() for file in files]

    @property
    def stored(self) -> list[Stored]:
        """The files of state that belong to it."""
        return [*self.ledger.values(), *self.documents.values()]

    def to_json(self) -> bytes:
        return sealed.seal(
            {
                "format": self.format,
                "run_id": self.run_id,
                "seq": self.seq,
                "committed_at": self.committed_at,
                "settings": self.settings,
                "tables": {name: list(map(asdict, files)) for name, files in self.tables.items()},
                "definitions": {name: each.to_json() for name, each in self.definitions.items()},
                "ledger": {source: asdict(stored) for source, stored in self.ledger.items()},
                "documents": {name: asdict(stored) for name, stored in self.documents.items()},
                "history": [asdict(past) for past in self.history],
            }
        )

    @classmethod
    def from_json(cls, data: bytes, place: str = "manifest.json") -> Manifest:
        """Raises DamagedError if it is not as it was written, or of a format of the future."""
        raw = sealed.parse(data, place)
        known = raw.get("format", 1)
        if isinstance(known, int) and known > FORMAT:
            raise NewerFormatError(
                f"{place}: this lake was written by a newer clicklake (format {known}; this one "
                f"knows up to {FORMAT}). Update clicklake, then run again."
            )
        if known != 1 or sealed.CHECKSUM in raw:
            raw = sealed.unseal(data, place)
        try:
            return cls._of(raw)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DamagedError(f"{place}: is damaged: it is no manifest.") from None

    @classmethod
    def _of(cls, raw: Mapping[str, Any]) -> Manifest:
        return cls(
            run_id=raw["run_id"],
            seq=raw["seq"],
            settings=raw["settings"],
            tables={
                name: tuple(LiveFile(**file) for file in files)
                for name, files in raw["tables"].items()
            },
            definitions={
                name: Definition.from_json(each)
                for name, each in raw.get("definitions", {}).items()
            },
            ledger={name: Stored(**each) for name, each in raw.get("ledger", {}).items()},
            documents={name: Stored(**each) for name, each in raw.get("documents", {}).items()},
            history=tuple(Past.from_json(past) for past in raw.get("history", ())),
            committed_at=datetime.fromisoformat(raw.get("committed_at", NEVER.isoformat())),
            format=raw.get("format", 1),
        )


class NewerFormatError(DamagedError):
    """The state was written by a newer release; nothing is wrong with it."""

    can_be_rebuilt = False
