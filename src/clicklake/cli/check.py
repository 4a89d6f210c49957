"""`etl.py check`: what a run would do, as a person is told it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from clicklake.errors import ConfigError
from clicklake.run.check import OK, SET_ASIDE, Check, Source

VERDICTS = {
    OK: "A run would take these logs.",
    SET_ASIDE: "A run would set files aside, take the others, and exit with 6.",
}
_REFUSED = "A run would publish nothing and exit with 4."


def show(console: Console, check: Check) -> None:
    """A table of the sources, what looks wrong, and what a run would do."""
    console.print(_table(check))
    for source in check.sources:
        for what, counts in (
            ("bad", source.sample.reasons),
            ("filtered, by environment", source.sample.environments),
        ):
            if counts:
                told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
                console.print(f"{source.source}: {what}: {told}", markup=False)
        for wrong in source.wrong:
            console.print(f"{source.source}: {wrong}", style="yellow", markup=False)
    _propose(console, check)
    for name in check.absent:
        console.print(f"{name}: its folder is not there", markup=False)
    for hint in check.hints:
        console.print(hint, style="yellow", markup=False)
    console.print(_verdict(check), style="bold", markup=False)


def _propose(console: Console, check: Check) -> None:
    proposals = [source.proposal for source in check.sources if source.proposal]
    if proposals:
        told = (
            "Read with these sections in dl.cfg, most rows of these files would be good. See that"
        )
        console.print(
            f"{told} each\nfield is what it should be, and add them (check --write does):\n"
        )
        console.print("\n".join(proposals), markup=False, highlight=False)


def write(check: Check, path: Path) -> str:
    """Add what is proposed to a dl.cfg, which is made if need be; what was done, in words.

    Raises ConfigError if the file says already how a source's files look.
    """
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    proposed = {source.source: source.proposal for source in check.sources if source.proposal}
    if not proposed:
        return "Nothing was proposed, so nothing was written."
    told = [name for name in proposed if f"[{name.upper()}]" in text.splitlines()]
    if told:
        raise ConfigError(
            f"{path}: has a section [{told[0].upper()}] already. Nothing was written: "
            "put what is proposed in its place."
        )
    whole = "\n".join([text.rstrip("\n") + "\n", *proposed.values()] if text else proposed.values())
    path.write_text(whole, encoding="utf-8")
    return f"Written to {path}: {', '.join(proposed)}. Run check again."


def _verdict(check: Check) -> str:
    if not any(source.new for source in check.sources):
        return "A run would find nothing new."
    verdict = VERDICTS.get(check.exit_code, _REFUSED)
    is_odd = check.hints or any(source.wrong for source in check.sources)
    return f"{verdict} See above what looks wrong." if is_odd else verdict


def _table(check: Check) -> Table:
    title = "What a run would find; rows of a sample"
    table = Table("source", title=title, title_justify="left")
    for name in ("files", "new", "MB", "rows", "good", "filtered", "bad"):
        table.add_column(name, justify="right")
    for source in check.sources:
        table.add_row(source.source, *_counts(source))
    return table


def _counts(source: Source) -> list[str]:
    sample = source.sample
    counts = (sample.rows, sample.kept, sample.filtered, sample.quarantined)
    sizes = [f"{source.files:,}", f"{source.new:,}", f"{source.new_bytes / 1e6:,.1f}"]
    return sizes + [f"{count:,}" for count in counts]
