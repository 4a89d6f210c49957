"""Planted bugs, each of which the fast tests must find: `make mutants` plants them one by one.

A mutant is a text of the source and what a careless change would make of it. Its tests are those
that a person would look at first; they run against a copy of the source.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "clicklake"


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in `file`; with `new` in its place one of `tests` fails."""

    what: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = [
    # rules
    Mutant(
        "a null name counts highest",
        "rules/users.py",
        'F.col("name").desc_nulls_last()',
        'F.col("name").desc_nulls_first()',
        "tests/rules/test_users.py",
    ),
    Mutant(
        "of two updates at one time the lower address counts",
        "rules/users.py",
        'F.col("email").desc()',
        'F.col("email").asc()',
        "tests/rules/test_users.py",
    ),
    Mutant(
        "the first update is that of the last run",
        "rules/users.py",
        '"first_updated_at", F.min("first_updated_at").over(everything)',
        '"first_updated_at", F.max("first_updated_at").over(everything)',
        "tests/rules/test_users.py",
    ),
    Mutant(
        "page views are not added up",
        "rules/page_views.py",
        'F.sum("count").alias("count")',
        'F.max("count").alias("count")',
        "tests/rules/test_page_views.py",
    ),
    Mutant(
        "a user without an update has no page views",
        "rules/page_views.py",
        'on="user_id", how="right")',
        'on="user_id", how="inner")',
        "tests/rules/test_page_views.py",
    ),
    Mutant(
        "rows that are known come in again",
        "rules/distinct.py",
        'how="left_anti"',
        'how="left"',
        "tests/rules/test_distinct.py",
    ),
    Mutant(
        "a pause of exactly the gap ends a session",
        "rules/visits.py",
        "np.diff(time) > gap",
        "np.diff(time) >= gap",
        "tests/rules/test_visits.py",
    ),
    Mutant(
        "a session goes on from one visitor to the next",
        "rules/visits.py",
        "opens = _changes(visitor)\n",
        "opens = np.zeros(len(visitor), bool)\n    opens[:1] = True\n",
        "tests/rules/test_visits.py",
    ),
    Mutant(
        "as many views as the limit are a bot's",
        "rules/visits.py",
        "np.repeat(counts > most, counts)",
        "np.repeat(counts >= most, counts)",
        "tests/rules/test_visits.py",
    ),
    Mutant(
        "an event that repeats counts twice",
        "rules/visits.py",
        "return order[differs]",
        "return order",
        "tests/rules/test_visits.py",
    ),
    Mutant(
        "events of one time are in the order of files",
        "rules/visits.py",
        "if not tied.any():",
        "if True:",
        "tests/rules/test_visits.py",
    ),
    Mutant(
        "sessions that began in another month are written twice",
        "rules/visits.py",
        "whole = np.flatnonzero(self.start[first] == self.time[first])",
        "whole = np.arange(len(first))",
        "tests/rules/test_visits.py",
    ),
    Mutant(
        "crawlers are told by the case of their names",
        "rules/bots.py",
        "value.translate(_ASCII_LOWER)",
        "value",
        "tests/rules/test_visits.py",
    ),
    # parsing
    Mutant(
        "the last check that fails stands",
        "parse/rows.py",
        "for code in range(len(checks) - 1, -1, -1):",
        "for code in range(len(checks)):",
        "tests/run/test_job.py",
    ),
    Mutant(
        "the day after the run is out of range",
        "parse/rows.py",
        "(times < first) | (times >= after)",
        "(times < first) | (times >= after - 86_400_000_000)",
        "tests/run/test_job.py",
    ),
    Mutant(
        "broken records are not counted as read",
        "parse/rows.py",
        "read=len(records.first) + len(records.broken)",
        "read=len(records.first)",
        "tests/run/test_job.py",
    ),
    Mutant(
        "a missing visitor is kept",
        "parse/rows.py",
        '        ("missing_visitor", raw["anonymous_user_id"].is_null),\n',
        "",
        "tests/run/test_job.py",
    ),
    # input files and their account
    Mutant(
        "a last line without its end is taken as grown",
        "logs/inputs.py",
        'return "grown" if before.ends_with_newline else "changed"',
        'return "grown"',
        "tests/logs/test_inputs.py",
    ),
    Mutant(
        "what was read of a grown file is not compared",
        "logs/inputs.py",
        "if found.hexdigest() != digest:",
        "if False:",
        "tests/logs/test_inputs.py",
    ),
    Mutant(
        "a change is taken though files are gone",
        "logs/inputs.py",
        "if changed and vanished:",
        "if False:",
        "tests/logs/test_inputs.py",
    ),
    Mutant(
        "a lake within its input is read",
        "logs/inputs.py",
        'not _is_hidden(info.path) and is_own(info.path.rpartition("/")[0])',
        "not _is_hidden(info.path)",
        "tests/logs/test_names.py",
    ),
    Mutant(
        "lines of later splits are counted from their own begin",
        "logs/summary.py",
        "bases[split.file, split.start] = lines.get(split.file, 0)",
        "bases[split.file, split.start] = 0",
        "tests/run/test_trust.py",
    ),
    Mutant(
        "a line that is being written is read",
        "logs/tails.py",
        "size = info.size if is_settled else _last_line_end(storage, info)",
        "size = info.size",
        "tests/logs/test_tails.py",
    ),
    Mutant(
        "bytes that were not read pass",
        "run/trust.py",
        "        check_every_byte_was_read(source)\n",
        "",
        "tests/run/test_trust.py",
    ),
    Mutant(
        "a split that came twice passes",
        "run/trust.py",
        "if split.start != reached.get(split.file, 0):",
        "if False:",
        "tests/run/test_trust.py",
    ),
    Mutant(
        "books that do not balance pass",
        "run/trust.py",
        "if not counts.balance:",
        "if False:",
        "tests/run/test_trust.py",
    ),
    Mutant(
        "a null in a column that has none passes",
        "lake/parquet.py",
        "if not field.nullable and statistics.null_count:",
        "if False:",
        "tests/run/test_trust.py",
    ),
    Mutant(
        "a row in the folder of another month passes",
        "lake/parquet.py",
        "if field.name == table.time and statistics.has_min_max:",
        "if False:",
        "tests/run/test_trust.py",
    ),
    # the lake's commit
    Mutant(
        "nothing that is staged is brought to the disk",
        "lake/commits.py",
        "        self.storage.sync([staged for staged, _ in moves])\n",
        "",
        "tests/lake/test_commits.py",
    ),
    Mutant(
        "folders of staged files are not brought to the disk",
        "storage/local.py",
        "[*(files := list(paths)), *self._folders_of(files)]",
        "list(paths)",
        "tests/lake/test_commits.py",
    ),
    Mutant(
        "a commit does not ask whether its number is taken",
        "lake/commits.py",
        "if not log.append(self.storage, entry):",
        "if log.append(self.storage, entry) is None:",
        "tests/lake/test_commits.py",
    ),
    Mutant(
        "the manifest changes before the new files are in",
        "lake/healing.py",
        "    storage.move(move for move in entry.moves if move[1] != MANIFEST)\n    _link",
        "    storage.move(move for move in entry.moves if move[1] == MANIFEST)\n    _link",
        "tests/lake/test_commits.py",
    ),
    Mutant(
        "a damaged document is taken for what was written",
        "lake/sealed.py",
        "if document.pop(CHECKSUM, None) != _checksum(document):",
        "if document.pop(CHECKSUM, None) is None:",
        "tests/lake/test_sealed.py",
    ),
    Mutant(
        "earlier states are kept for ever",
        "lake/retention.py",
        "if at >= newest or now - past.until < timedelta(hours=self.hours)",
        "if True",
        "tests/run/test_states.py",
    ),
    Mutant(
        "a lease of a run that is alive is taken over",
        "lake/lease.py",
        "(head.age > TTL or _is_dead(holder))",
        "True",
        "tests/lake/test_lease.py",
    ),
    Mutant(
        "a step from the last page of a month to the first of the next counts",
        "rules/page_steps.py",
        "    leads &= (months[1:] == months[:-1]) & (pages[1:] != pages[:-1])\n",
        "    leads &= pages[1:] != pages[:-1]\n",
        "tests/rules/test_page_steps.py",
    ),
    Mutant(
        "a step counts as often as a session takes it",
        "rules/page_steps.py",
        "taken = pc.unique(pa.array(session[here] * len(known) + step[here])).to_numpy()",
        "taken = session[here] * len(known) + step[here]",
        "tests/rules/test_page_steps.py",
    ),
    Mutant(
        "the steps of who is forgotten stay",
        "forget/steps.py",
        "rows = page_steps.without(known, gone)",
        "rows = known",
        "tests/forget/test_steps.py",
    ),
    Mutant(
        "a section's environment is not asked for",
        "parse/sources.py",
        "environment=shape.environment_kept,",
        'environment="production",',
        "tests/parse/test_mapping.py",
    ),
    Mutant(
        "a section's texts for nothing are taken for values",
        "parse/sources.py",
        "nulls=shape.null_texts,",
        "nulls=(),",
        "tests/parse/test_mapping.py",
    ),
    Mutant(
        "a section's quote is not used",
        "parse/sources.py",
        "csv.Dialect(shape.delimiter, shape.quote, shape.comment)",
        "csv.Dialect(shape.delimiter, '\"', shape.comment)",
        "tests/parse/test_mapping.py",
    ),
    Mutant(
        "milliseconds are taken for seconds",
        "parse/fields.py",
        '"unix_ms": MILLISECOND',
        '"unix_ms": SECOND',
        "tests/parse/test_mapping.py",
    ),
    Mutant(
        "a path into objects is taken for a key",
        "parse/sources.py",
        "jsonl.Key(column, path_of(place), column",
        "jsonl.Key(column, (place,), column",
        "tests/parse/test_mapping.py",
    ),
    # people who are forgotten
    Mutant(
        "addresses in the pages behind recommendations are not looked for",
        "lake/privacy.py",
        '"because_url", ',
        "",
        "tests/forget/test_forget.py",
    ),
    Mutant(
        "percent-encoded addresses are not looked for",
        "lake/privacy.py",
        "        text = unquote(text)\n",
        "        break\n",
        "tests/forget/test_forget.py",
    ),
    # what is made of the lake
    Mutant(
        "pages that were seen are recommended",
        "recommend/lists.py",
        "parts = [best(model.score(block), block, k) for",
        "parts = [best(model.score(block), csr_matrix(block.shape), k) for",
        "tests/recommend/test_lists.py",
    ),
    Mutant(
        "a database shows the rows of a damaged table",
        "publish/feeds.py",
        "if self.rows not in (None, rows):\n            raise ClicklakeError(",
        "if False:\n            raise ClicklakeError(",
        "tests/publish/test_database.py -k sqlite",
    ),
    Mutant(
        "a catalog's snapshots lack the files of the run",
        "catalog/sync.py",
        "                update.delete_data_file(data_file)\n",
        "                pass\n",
        "tests/catalog/test_catalog.py",
    ),
]


def planted(mutant: Mutant, folder: Path) -> Path:
    """A copy of the source with a mutant in it. Raises ValueError if its text is not there once."""
    text = (SOURCE / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.what}: its text is {text.count(mutant.old)} times in the file")
    copy = folder / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "clicklake" / mutant.file).write_text(text.replace(mutant.old, mutant.new))
    return copy


def survives(mutant: Mutant) -> bool:
    """Whether its tests pass all the same."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = planted(mutant, Path(folder))
        call = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        call += ["-m", "not slow and not spark", "-o", f"pythonpath={copy} tests/support"]
        done = subprocess.run(
            [*call, *mutant.tests.split()],
            check=False,
            cwd=ROOT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{mutant.what}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 0


def main(wanted: Sequence[str]) -> int:
    """Plant all, or those whose description has one of the words; 1 if one survives."""
    chosen = [m for m in MUTANTS if not wanted or any(word in m.what for word in wanted)]

    def tried(mutant: Mutant) -> bool:
        began = time.monotonic()
        survived = survives(mutant)
        verdict = "SURVIVED" if survived else "caught"
        print(f"{verdict:<9}{time.monotonic() - began:6.1f} s  {mutant.what}", flush=True)
        return survived

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        survivors = sum(pool.map(tried, chosen))
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants were caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
