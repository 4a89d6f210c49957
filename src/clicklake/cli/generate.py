"""Write sample logs: `python scripts/generate.py --output DIR [--sample | --size 1GB]`."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from clicklake import samples
from clicklake.cli import outer
from clicklake.errors import ClicklakeError

_UNITS = {"MB": 10**6, "GB": 10**9}


def size(text: str) -> int:
    """Bytes of `500MB` or `1.5GB`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB)", text.upper(), re.ASCII)
    if not match or float(match[1]) * _UNITS[match[2]] < 10**6:
        raise argparse.ArgumentTypeError(f'"{text}" is no size; write 500MB or 10GB (1MB or more)')
    return int(float(match[1]) * _UNITS[match[2]])


def seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f'"{text}" is no whole number from 0')
    return int(text)


def days(text: str) -> int:
    if not re.fullmatch(r"\d{1,3}", text, re.ASCII) or not 1 <= int(text) <= 365:
        raise argparse.ArgumentTypeError(f'"{text}" is no number of days from 1 to 365')
    return int(text)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=outer.program("generate"),
        description="Write sample logs of a web shop, in 2018.",
        epilog=outer.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, help="a new or an empty folder")
    parser.add_argument("--seed", type=seed, default=7, help="same seed, same bytes (default 7)")
    parser.add_argument("--days", type=days, help="default 30, of the small sample 56")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--size", type=size, help="bytes before compression, such as 1GB or 50GB")
    amount.add_argument("--sample", action="store_true", help="the small sample (the default)")
    return parser


def main(argv: Sequence[str]) -> int:
    parser = arguments()
    given = parser.parse_args(argv)
    if given.output.exists() and (not given.output.is_dir() or any(given.output.iterdir())):
        parser.error(f"{given.output} is not empty; name a new folder, or empty it first")
    period = {"days": given.days} if given.days else {}
    if given.size:
        plan = samples.of_size(given.size, seed=given.seed, **period)
    else:
        plan = samples.small(seed=given.seed, **period)

    def work() -> int:
        try:
            report(samples.write(plan, given.output), given.output)
        except OSError as error:
            raise ClicklakeError(f"{error.filename or given.output}: {error.strerror}.") from None
        return 0

    return outer.guarded(work, interrupted="\ninterrupted; what was written so far is incomplete")


def report(written: Iterator[samples.Written], output: Path) -> None:
    """Drive the writing: progress on a terminal, a summary at the end."""
    started = time.monotonic()
    files = rows = megabytes = 0.0
    for file in written:
        files, rows, megabytes = files + 1, rows + file.rows, megabytes + file.bytes / 1e6
        if sys.stderr.isatty():
            print(f"\r{megabytes:,.0f} MB  {file.path}", end="\x1b[K", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    seconds = time.monotonic() - started
    print(
        f"{output}: {files:,.0f} files, {rows:,.0f} rows, {megabytes:,.1f} MB before compression, "
        f"{seconds:.1f} s, {megabytes / seconds:,.0f} MB/s"
    )
