"""`etl.py check`: what a run would do, from samples, without writing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from clicklake import engines
from clicklake.config import Config
from clicklake.errors import InputError
from clicklake.lake import snapshot
from clicklake.lake.commits import read_ledger
from clicklake.logs import inputs
from clicklake.logs.diagnosis import (
    Cause,
    Head,
    cause_of,
    environments,
    proposed,
    section,
    unwanted_header,
)
from clicklake.logs.inputs import SourcePlan
from clicklake.logs.misplaced import hints
from clicklake.logs.sampling import head_of
from clicklake.parse import fields
from clicklake.parse.sources import configured
from clicklake.progress import Reporter
from clicklake.schemas import SOURCES
from clicklake.storage import FileInfo, open_storage

FILES = 20  # of a source that are sampled: the first, the last, and some between

OK, REFUSED, SET_ASIDE = 0, InputError.exit_code, 6


@dataclass(frozen=True)
class Sampled:
    """What the beginnings of some of a source's new files hold.

    `kept`: rows that are kept unless they are duplicates. `environments`: of the filtered rows.
    """

    files: int = 0
    rows: int = 0
    kept: int = 0
    filtered: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    environments: Mapping[str, int] = field(default_factory=dict)
    bad_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A source as a run would find it now. `wrong`: what looks wrong, in words.

    `proposal`: a section of dl.cfg by which files that are bad would be read; "" for none.
    """

    source: str
    folder: str
    files: int
    new: int
    new_bytes: int
    vanished: int
    sample: Sampled
    wrong: tuple[str, ...]
    exit_code: int
    proposal: str = ""


@dataclass(frozen=True)
class Check:
    """What a run would find. `absent`: sources that are not there; `hints`: where they may be."""

    sources: tuple[Source, ...]
    absent: tuple[str, ...]
    hints: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        codes = {source.exit_code for source in self.sources}
        return next((code for code in (REFUSED, SET_ASIDE) if code in codes), OK)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "exit_code": self.exit_code}


def run(config: Config, as_of: date | None, reporter: Reporter) -> Check:
    """Look at the sources and read samples of their new files. Raises InputError, AccessError."""
    engines.use_keys(config.aws)
    storage = open_storage(config.datalake.output_data)
    ledger = read_ledger(storage, snapshot(storage).manifest)
    day = as_of or datetime.now(UTC).date()
    folders = inputs.folders(config, known=[source for source in SOURCES if ledger.get(source)])
    found = []
    for folder in folders:
        with reporter.stage(f"look at {folder.source}"):
            found.append(_look(config, inputs.compare(folder, ledger), day))
    absent = tuple(source for source in SOURCES if source not in {f.source for f in folders})
    return Check(tuple(found), absent, tuple(hints(config, absent)))


def _look(config: Config, planned: SourcePlan, day: date) -> Source:
    heads = [_head(config, planned, info, day) for info in _spread(planned.read)]
    kept = configured(config)[planned.source].environment
    sample = _sampled(heads, kept)
    return Source(
        source=planned.source,
        folder=planned.folder.storage.root,
        files=sum(1 for info in planned.folder.files if info.size),
        new=len(planned.read),
        new_bytes=sum(info.size for info in planned.read),
        vanished=len(planned.vanished),
        sample=sample,
        wrong=tuple(_wrong(planned, heads, sample, kept)),
        exit_code=_exit_code(config, sample),
        proposal=_proposal(heads),
    )


def _proposal(heads: Sequence[Head]) -> str:
    """By the first file that is mostly bad."""
    for head in heads:
        if head.is_mostly_bad:
            shape = proposed(head)
            return section(head.source.name, shape) if shape else ""
    return ""


def _spread(infos: Sequence[FileInfo]) -> list[FileInfo]:
    if len(infos) <= FILES:
        return list(infos)
    return [infos[at * (len(infos) - 1) // (FILES - 1)] for at in range(FILES)]


def _head(config: Config, planned: SourcePlan, info: FileInfo, day: date) -> Head:
    return head_of(
        planned.folder.storage_of(info),
        info,
        configured(config)[planned.source],
        fields.time_range(day),
        multiline=config.sources.csv_multiline,
    )


def _sampled(heads: Sequence[Head], kept: str | None) -> Sampled:
    read, filtered = sum(head.read for head in heads), sum(head.filtered for head in heads)
    reasons = Counter(reason for head in heads for reason, _ in head.rejects)
    found: Counter[str] = Counter()
    for head in heads:
        found.update(dict(environments(head)) if head.filtered else {})
    found.pop(kept or "", None)
    return Sampled(
        files=len(heads),
        rows=read,
        kept=read - filtered - reasons.total(),
        filtered=filtered,
        quarantined=reasons.total(),
        reasons=dict(reasons.most_common()),
        environments=dict(found.most_common(5)),
        bad_files={head.path: head.fault for head in heads if head.fault},
    )


def _wrong(
    planned: SourcePlan, heads: Sequence[Head], sample: Sampled, kept: str | None
) -> Iterator[str]:
    if planned.changed:
        yield f"{planned.changed[0]} changed after it was read: the source would be rebuilt"
    if planned.pending:
        yield f"the last line of {min(planned.pending)} is being written; a later run reads it"
    told: set[Cause] = set()
    for head in heads:
        cause = cause_of(head) or unwanted_header(head)
        if cause and cause not in told:
            yield f"{head.path}: {cause}"
        elif head.fault and not cause:
            yield f"{head.path}: {head.fault}"
        told |= {cause} if cause else set()
    if 0 < sample.rows == sample.filtered:
        shown = ", ".join(f'"{name}"' for name in sample.environments)
        yield f'every row is filtered: environment is {shown}, not "{kept}"'


def _exit_code(config: Config, sample: Sampled) -> int:
    bad = len(sample.bad_files)
    is_refused = config.sources.on_bad_file == "refuse" or (
        bad > config.sources.max_bad_files * sample.files
    )
    if sample.quarantined > config.job.max_bad_ratio * sample.rows or (bad and is_refused):
        return REFUSED
    return SET_ASIDE if bad else OK
