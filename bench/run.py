"""Measure the job beside DuckDB and Polars: `python bench/run.py` (see --help and README.md)."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import equality
import probes
import report
import visitors
from measure import Cost, measured

from clicklake.cli.generate import size as bytes_of

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
AS_OF = "2019-01-31"  # the generated logs are of 2018
CONFIG = """[DATABASE]
URL = none
[CSV]
ENABLED = false
[RECOMMEND]
MODEL = none
[JOB]
MEMORY_MB = {memory}
"""

Command = list[str | Path]


class Bench:
    """Where a benchmark keeps its logs, lakes and results, and how it runs commands."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.work: Path = given.work.resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.config = self.work / "dl.cfg"
        self.config.write_text(CONFIG.format(memory=given.memory_mb))
        self.results = self.work / "results.json"
        # Without compiled files every start would be slower, for those who import more.
        hidden = ("PYTHONDONTWRITEBYTECODE",)
        self.env = {name: value for name, value in os.environ.items() if name not in hidden}
        self.env |= {"PYTHONPYCACHEPREFIX": str(self.work / "pycache"), "TMPDIR": str(self.work)}

    def logs(self, size: str, days: int | None = None) -> Path:
        """Generated logs of a size, made once."""
        folder = self.work / "logs" / (f"{size}-{days}days" if days else size)
        if not folder.exists():
            period = ["--days", str(days)] if days else []
            self.say(f"generating {folder.name}")
            script = ROOT / "src" / "scripts" / "generate.py"
            making = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(making, ignore_errors=True)
            arguments = ["--output", making, "--size", size, *period]
            subprocess.run([sys.executable, script, *arguments], check=True, env=self.env)
            making.rename(folder)
        return folder

    def job(self, engine: str, logs: Path, lake: Path) -> Command:
        script = ROOT / "src" / "scripts" / "etl.py"
        return [sys.executable, script, "--engine", engine, *self.places(logs, lake)]

    def places(self, logs: Path, lake: Path) -> Command:
        return ["--config", self.config, "--input", logs, "--output", lake, "--as-of", AS_OF]

    def command(self, contestant: str, logs: Path, output: Path) -> Command:
        """The command by which a contestant makes its tables."""
        if contestant.startswith("clicklake-"):
            return self.job(contestant.removeprefix("clicklake-"), logs, output)
        peer = BENCH / "peers" / f"{contestant}_job.py"
        return [sys.executable, peer, logs, output, "--as-of", AS_OF]

    @property
    def engines(self) -> list[str]:
        names = [name.partition("-")[2] for name in self.given.contestants if "-" in name]
        return names or ["sail"]

    def run(self, name: str, command: Command, output: Path | None = None) -> Cost:
        """Measure a command; `output`, if given, is removed first."""
        if output is not None:
            shutil.rmtree(output, ignore_errors=True)
        cost = measured(command, self.env, self.work / f"{name}.log")
        self.say(
            f"{name:<28}{cost.wall:>8.1f} s wall {cost.cpu:>8.1f} s cpu {cost.memory:>8,.0f} MB"
        )
        return cost

    def last_line(self, name: str) -> dict[str, Any]:
        return json.loads((self.work / f"{name}.log").read_text().strip().splitlines()[-1])

    def alternate(self, runs: Mapping[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
        """Every run once in each round, in an order that rotates."""
        names = list(runs)
        costs: dict[str, list[Cost]] = {name: [] for name in names}
        for number in range(self.given.rounds):
            self.say(f"round {number + 1} of {self.given.rounds}")
            for name in names[number % len(names) :] + names[: number % len(names)]:
                costs[name].append(runs[name]())
        return costs

    def keep(self, scenario: str, case: str, result: dict[str, Any]) -> None:
        """Add a result to those of before; of the same scenario and case the last counts."""
        known = json.loads(self.results.read_text()) if self.results.exists() else {}
        result |= {"rounds": self.given.rounds, "machine": report.machine()}
        known.setdefault(scenario, {})[case] = result
        self.results.write_text(json.dumps(known, indent=1))

    @staticmethod
    def say(text: str) -> None:
        print(text, flush=True)


# ------------------------------------------------------------------ scenarios


def compare(bench: Bench, size: str) -> None:
    """The whole job, all contestants, from logs to tables."""
    compare_on(bench, bench.logs(size), size)


def once(bench: Bench, size: str) -> None:
    """The same on clicks of visitors who come once."""
    logs = bench.work / "logs" / f"{size}-once"
    if not logs.exists():
        making = logs.with_name(f"{logs.name}.part")
        shutil.rmtree(making, ignore_errors=True)
        visitors.write(making, bytes_of(size))
        making.rename(logs)
    compare_on(bench, logs, f"{size} once")


def compare_on(bench: Bench, logs: Path, case: str) -> None:
    contestants: list[str] = bench.given.contestants
    warm_up(bench, contestants, logs)
    outputs = {name: bench.work / "tables" / name for name in contestants}
    costs = bench.alternate(
        {
            name: partial(bench.run, name, bench.command(name, logs, output), output)
            for name, output in outputs.items()
        }
    )
    digests = {name: equality.digests(output) for name, output in outputs.items()}
    first = contestants[0]
    unequal = {
        name: tables
        for name in contestants[1:]
        if (tables := equality.differences(digests[first], digests[name]))
    }
    result = {
        "input": tree_bytes(logs) / 1e6,
        "costs": as_dicts(costs),
        "tables": {name: table_bytes(output) / 1e6 for name, output in outputs.items()},
        "rows": {table: rows for table, (rows, _) in digests[first].items()},
        "unequal": unequal,
    }
    bench.keep("compare", case, result)
    shutil.rmtree(bench.work / "tables")
    bench.say(f"tables differ: {unequal}" if unequal else "all tables are equal")


def warm_up(bench: Bench, contestants: Sequence[str], logs: Path) -> None:
    """Compiled files, libraries and the logs into memory, before any clock runs."""
    output = bench.work / "warm"
    for name in contestants:
        command = bench.command(name, ROOT / "data" / "sample", output)
        bench.run(f"{name}, the sample", command, output)
    shutil.rmtree(output, ignore_errors=True)
    for path in logs.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def rerun(bench: Bench, size: str) -> None:
    """The job again, with nothing new, and how that compares with the first run."""
    logs, lake = bench.logs(size), bench.work / "lake"
    command = bench.job("sail", logs, lake)
    first = bench.run("first", command, lake)
    again = bench.alternate({"again": partial(bench.run, "again", command)})
    bench.keep("rerun", size, {"costs": as_dicts({"first": [first], **again})})
    shutil.rmtree(lake)


def day(bench: Bench, size: str) -> None:
    """A year without its last day, then that day; and the whole year at once."""
    logs = bench.logs(size, days=365)
    year, lake, before = (bench.work / name for name in ("year", "lake", "before"))
    shutil.rmtree(year, ignore_errors=True)
    link_tree(logs, year, without="2018/12/31")
    bench.run("364 days", bench.job("sail", year, before), before)
    link_tree(logs, year)

    def one_more_day() -> Cost:
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(before, lake)
        return bench.run("one more day", bench.job("sail", year, lake))

    def whole_year() -> Cost:
        return bench.run("whole year", bench.job("sail", year, lake), lake)

    costs = bench.alternate({"whole year": whole_year, "one more day": one_more_day})
    bench.keep("day", size, {"costs": as_dicts(costs)})
    for folder in (year, lake, before):
        shutil.rmtree(folder)


def scaling(bench: Bench, size: str) -> None:
    """The same shop ten times as large."""
    lake = bench.work / "lake"
    larger = f"{float(size[:-2]) * 10:g}{size[-2:]}"
    runs = {
        each: partial(bench.run, each, bench.job("sail", bench.logs(each), lake), lake)
        for each in (size, larger)
    }
    bench.keep("scaling", size, {"costs": as_dicts(bench.alternate(runs))})
    shutil.rmtree(lake)


def spark_settings(bench: Bench, size: str) -> None:
    """The job on Spark, with Spark's defaults and with its own settings."""
    logs, lake = bench.logs(size), bench.work / "lake"
    probe: Command = [sys.executable, BENCH / "probes.py", "spark-defaults"]
    commands = {
        "Spark's defaults": [*probe, *bench.places(logs, lake)],
        "the job's settings": bench.job("spark", logs, lake),
    }
    costs = bench.alternate(
        {name: partial(bench.run, name, command, lake) for name, command in commands.items()}
    )
    bench.keep("spark-settings", size, {"costs": as_dicts(costs)})
    shutil.rmtree(lake)


def readers(bench: Bench, size: str) -> None:
    """Our readers beside the engines' own, on the uncompressed files without their broken lines."""
    logs = probes.sound_copy(bench.logs(size), bench.work / "logs" / f"{size}-sound")
    seconds: dict[str, list[float]] = {}

    def read(name: str, probe: Command) -> Cost:
        cost = bench.run(name, [sys.executable, BENCH / "probes.py", "read", *probe])
        seconds.setdefault(name, []).append(bench.last_line(name)["seconds"])
        return cost

    runs = {}
    for source in ("user_updates", "page_views", "clickstream"):
        for engine in bench.engines:
            for reader in ("own", "ours"):
                name = f"{source}, {engine}, {reader}"
                runs[name] = partial(read, name, [engine, logs, source, reader])
    costs = bench.alternate(runs)
    bench.keep("readers", size, {"costs": as_dicts(costs), "seconds": seconds})


def start(bench: Bench, _size: str) -> None:
    """From the start of Python to the first row of a log."""
    runs = {}
    for engine in bench.engines:
        command = [sys.executable, BENCH / "probes.py", "first-row", engine, ROOT / "data/sample"]
        bench.run(f"{engine}, not counted", command)
        runs[engine] = partial(bench.run, f"start, {engine}", command)
    bench.keep("start", "the sample", {"costs": as_dicts(bench.alternate(runs))})


# ------------------------------------------------------------------ helpers


def as_dicts(costs: Mapping[str, Sequence[Cost]]) -> dict[str, list[dict[str, float]]]:
    return {name: [cost.as_dict() for cost in each] for name, each in costs.items()}


def tree_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def table_bytes(tables: Path) -> int:
    return sum(
        Path(file).stat().st_size
        for name in equality.COMPARED
        for file in equality.files(tables, name)
    )


def link_tree(source: Path, target: Path, without: str | None = None) -> None:
    """Hard links to all files of `source`, but for those in folders named `without`."""
    for path in source.rglob("*"):
        relative = path.relative_to(source)
        link = target / relative
        if path.is_file() and not link.exists() and f"/{without}/" not in f"/{relative}":
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)


SCENARIOS = {
    "compare": compare,
    "once": once,
    "rerun": rerun,
    "day": day,
    "scaling": scaling,
    "spark-settings": spark_settings,
    "readers": readers,
    "start": start,
}


def arguments() -> argparse.ArgumentParser:
    told = "; ".join(f"{name}: {action.__doc__}" for name, action in SCENARIOS.items())
    parser = argparse.ArgumentParser(description=f"Measure the job. {told}")
    parser.add_argument("scenarios", nargs="*", default=["compare"], metavar="SCENARIO")
    parser.add_argument("--sizes", nargs="+", default=["1GB"], help="such as 1GB 5GB 20GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spark", action="store_true", help="the job on Spark as well")
    parser.add_argument("--only", nargs="+", help="these contestants alone")
    parser.add_argument("--memory-mb", type=int, default=0, help="the job's MEMORY_MB")
    parser.add_argument("--work", type=Path, default=ROOT / "data" / "generated" / "bench")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md as it is")
    return parser


def main() -> None:
    parser = arguments()
    given = parser.parse_args()
    unknown = set(given.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    spark = ["clicklake-spark"] if given.spark else []
    given.contestants = given.only or ["clicklake-sail", *spark, "duckdb", "polars"]
    bench = Bench(given)
    for name in given.scenarios:
        bench.say(f"== {name}")
        for size in given.sizes if name != "start" else given.sizes[:1]:
            SCENARIOS[name](bench, size)
    results = json.loads(bench.results.read_text())
    print(report.text(results))
    if not given.no_docs:
        report.write(results, ROOT / "docs")
    if any(result["unequal"] for result in results.get("compare", {}).values()):
        raise SystemExit("tables differ")


if __name__ == "__main__":
    main()
