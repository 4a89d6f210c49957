"""What a run has to do: new logs, and tables that are no longer as they should be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clicklake.config import Config
from clicklake.errors import InputError
from clicklake.lake import Lake, Manifest, Snapshot, sql
from clicklake.logs import inputs
from clicklake.logs.files import text_bytes
from clicklake.logs.inputs import SourcePlan
from clicklake.logs.misplaced import hints
from clicklake.progress import Reporter
from clicklake.rules import bots
from clicklake.run.options import Options
from clicklake.schemas import CLICKSTREAM, SOURCES, TABLES, Table

MEMORY_MB = 1024  # for a question to the lake, beside the engine

_PACKED = 4  # bytes of text in a byte of the lake's tables, about


@dataclass(frozen=True)
class RunPlan:
    """`outdated`: tables whose files are not what this release would write.

    `settings`: those of the clickstream's labels and sessions; `resettled`: whether the lake's
    clickstream was made by others. `hints`: where logs that were not found may be.
    """

    sources: tuple[SourcePlan, ...]
    outdated: frozenset[str]
    settings: Mapping[str, Any]
    resettled: bool
    rebuild: bool
    hints: tuple[str, ...] = ()

    def source_plan(self, source: str | None) -> SourcePlan | None:
        return next((planned for planned in self.sources if planned.source == source), None)

    def is_rebuilt(self, source: str | None) -> bool:
        planned = self.source_plan(source)
        return planned is not None and planned.rebuild

    def is_outdated(self, table: Table) -> bool:
        return table.name in self.outdated or (table is CLICKSTREAM and self.resettled)

    @property
    def is_idle(self) -> bool:
        has_work = any(planned.read or planned.rebuild for planned in self.sources)
        return not (self.rebuild or self.resettled or self.outdated or has_work)


def make(config: Config, options: Options, lake: Lake) -> RunPlan:
    """Compare the sources' folders with the ledger, and the lake's tables with this release.

    Raises InputError if no source is there, or rows would be lost.
    """
    manifest = lake.manifest
    known = SOURCES if lake.damage else [source for source in lake.ledger if lake.ledger[source]]
    found = inputs.folders(config, known=known)
    now = settings(config)
    snapshot = Snapshot(lake.storage, manifest)
    return RunPlan(
        sources=tuple(_source_plans(found, options, lake)),
        outdated=frozenset(t.name for t in TABLES.values() if not snapshot.is_current(t)),
        settings=now,
        resettled=bool(manifest.files(CLICKSTREAM.name)) and manifest.settings != now,
        rebuild=options.rebuild,
        hints=tuple(hints(config, set(SOURCES) - {folder.source for folder in found})),
    )


def settings(config: Config) -> dict[str, Any]:
    """What the clickstream's labels and sessions depend on beside the input."""
    names = "\n".join(bots.names())
    return {
        "session_gap_minutes": config.job.session_gap_minutes,
        "bot_views_per_minute": config.job.bot_views_per_minute,
        "crawlers": hashlib.sha256(names.encode()).hexdigest()[:16],
    }


def _source_plans(found: Sequence[inputs.Folder], options: Options, lake: Lake) -> list[SourcePlan]:
    if options.replay:
        refused = _refused(lake)
        wanted = {source: refused.get(source, {}) for source in options.replay}
        return [inputs.again(f, lake.ledger, wanted.get(f.source, {})) for f in found]
    if not options.rebuild:
        return [inputs.compare(folder, lake.ledger) for folder in found]
    _refuse_to_lose(found, options, lake)
    return [inputs.rebuild(folder) for folder in found]


def _refuse_to_lose(found: Sequence[inputs.Folder], options: Options, lake: Lake) -> None:
    if options.forget_missing:
        return
    if lake.damage:
        raise InputError(
            f"{lake.damage} Which logs were read is not known, so --rebuild cannot tell whether "
            "some are gone. Add --forget-missing to make the lake anew from those that are there."
        )
    gone = {folder.source: inputs.missing(folder, lake.ledger) for folder in found}
    lost = [f"{source}/{path}" for source, paths in gone.items() for path in paths]
    if lost:
        shown = ", ".join(lost[:5]) + (" …" if len(lost) > 5 else "")
        raise InputError(
            f"--rebuild would lose the rows of {len(lost)} files that are gone: {shown}. "
            "Bring them back, or add --forget-missing to give up their rows."
        )


def _refused(lake: Lake) -> dict[str, dict[str, dict[str, int]]]:
    """How many quarantined rows there are, by source, file and reason."""
    query = "select source, file, reason, count(*) from quarantine group by all"
    refused: dict[str, dict[str, dict[str, int]]] = {}
    with sql.connect(Snapshot(lake.storage, lake.manifest), MEMORY_MB) as connection:
        for source, file, reason, count in connection.execute(query).fetchall():
            refused.setdefault(source, {}).setdefault(file, {})[reason] = count
    return refused


def tell(plan: RunPlan, reporter: Reporter) -> None:
    """Say what is not as a user would expect it."""
    for hint in plan.hints:
        reporter.warn(hint)
    for planned in plan.sources:
        if planned.vanished:
            reporter.say(
                f"{planned.source}: {len(planned.vanished)} files that were read are gone "
                f"({planned.vanished[0]} …); their rows stay"
            )
        if planned.changed:
            reporter.say(
                f"{planned.source}: {', '.join(planned.changed[:3])} changed after it was read; "
                "the source is rebuilt from all its files"
            )
        if planned.pending:
            reporter.say(
                f"{planned.source}: the last line of {len(planned.pending)} files "
                f"({min(planned.pending)} …) is pending, as it is still being written; "
                "a later run reads it"
            )
    if plan.outdated:
        reporter.say(
            f"{', '.join(sorted(plan.outdated))}: made by another release of clicklake; "
            "computed anew, from the lake itself"
        )


def text_mb(plan: RunPlan, manifest: Manifest) -> int:
    """About how many MB of text the new files and the lake's tables hold."""
    new = sum(text_bytes(info.path, info.size) for planned in plan.sources for info in planned.read)
    return (new + _PACKED * sum(file.bytes for file in manifest.all_files)) >> 20
