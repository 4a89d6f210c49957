"""Whether what was read can be trusted: all of it was read, and not too much of it is bad."""

from __future__ import annotations

from collections.abc import Iterable

from clicklake.errors import AccessError, ClicklakeError, InputError
from clicklake.lake import LedgerFile
from clicklake.lake.metrics import Books
from clicklake.logs.diagnosis import Cause
from clicklake.logs.summary import SplitSummary
from clicklake.run.causes import Causes
from clicklake.run.landing import Landed


def refuse_what_cannot_be_trusted(
    landed: Iterable[Landed], max_bad_ratio: float, causes: Causes
) -> None:
    """Raises AccessError, InputError or ClicklakeError with all that is wrong, and why."""
    sources = list(landed)
    problems, denied = [], False
    for source in sources:
        root = source.planned.folder.storage.root
        for split in source.summaries:
            if split.refused:
                cause = causes.get((source.planned.source, split.file))
                problem = f"{root}/{split.file}: {split.refused}."
                problems.append("\n".join([problem, *_lines(cause)]))
                denied = denied or split.denied
    if problems:
        kind = AccessError if denied else InputError
        advice = "Nothing was published. Mend or remove these files and run again."
        raise kind("\n".join([*sorted(set(problems)), advice]))
    for source in sources:
        check_every_byte_was_read(source)
        check_bad_ratio(source, max_bad_ratio, causes)


def check_every_byte_was_read(landed: Landed) -> None:
    """Raises ClicklakeError if the splits that were read are not all of the files."""
    reached: dict[str, int] = {}
    for split in sorted(landed.summaries, key=lambda split: (split.file, split.start)):
        if split.start != reached.get(split.file, 0):
            raise ClicklakeError(f"{split.file}: bytes before {split.start} were not read once.")
        reached[split.file] = split.end
    for info in landed.planned.read:
        if reached.get(info.path) != info.size:
            raise ClicklakeError(f"{info.path}: not all of it was read.")


def check_bad_ratio(landed: Landed, limit: float, causes: Causes) -> None:
    """Raises InputError if more of the new rows are quarantined than `limit` allows."""
    bad, read = landed.total("quarantined") - landed.refused_before, landed.total("read")
    if not read or bad / read <= limit:
        return
    by_file = landed.reasons_by_file.items()
    worst = sorted(by_file, key=lambda item: (-sum(item[1].values()), item[0]))
    lines: list[str] = []
    told: set[str] = set()
    for path, reasons in worst[:10]:
        counts = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        cause = causes.get((landed.planned.source, path))
        is_told = cause is None or cause.expected + cause.remedy in told
        lines += [f"  {path}: {counts}", *([] if is_told else _lines(cause))]
        told |= {cause.expected + cause.remedy} if cause else set()
    more = [f"  … and {len(worst) - 10} more files"] if len(worst) > 10 else []
    raise InputError(
        "\n".join(
            [
                f"{landed.planned.source}: {bad:,} of {read:,} rows ({bad / read:.1%}) are bad, "
                f"more than [JOB] MAX_BAD_RATIO allows ({limit:.1%}). Nothing was published.",
                *lines,
                *more,
                "Mend the files, or raise MAX_BAD_RATIO, and run again.",
            ]
        )
    )


def _lines(cause: Cause | None) -> list[str]:
    """A cause as lines below the line that names its file."""
    if cause is None:
        return []
    parts = {"found": cause.found, "expected": cause.expected, "to do": cause.remedy}
    return [f"    {name + ':':<10}{text}" for name, text in parts.items()]


def books(landed: Landed, kept: int) -> Books:
    """Read = kept + duplicate + filtered + quarantined. Raises ClicklakeError if it is not so.

    `kept`: the rows that the source's table has gained.
    """
    counts = Books(
        read=landed.total("read"),
        kept=kept,
        duplicate=landed.good - kept,
        filtered=landed.total("filtered"),
        quarantined=landed.total("quarantined"),
    )
    source = landed.planned.source
    if not counts.balance:
        raise ClicklakeError(f"{source}: the books do not balance: {counts}.")
    if landed.planned.refused and kept > landed.refused_before - counts.quarantined:
        raise InputError(
            f"{source}: rows that had come in before are now read otherwise, so they "
            "would be there twice. Nothing was published. Run etl.py --rebuild."
        )
    return counts


def read_files(landed: Landed, run_id: str) -> dict[str, LedgerFile]:
    """The files that were read, for the ledger."""
    splits: dict[str, list[SplitSummary]] = {}
    for split in sorted(landed.summaries, key=lambda split: split.start):
        splits.setdefault(split.file, []).append(split)
    return {
        info.path: LedgerFile(
            size=info.size,
            version=info.version,
            digests=tuple((s.start, s.end, s.digest) for s in splits[info.path]),
            ends_with_newline=splits[info.path][-1].ends_with_newline,
            run_id=run_id,
        )
        for info in landed.planned.read
    }
