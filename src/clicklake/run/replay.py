"""`etl.py replay`: rows that were refused come in once, repaired or by a mended parser."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from clicklake import engines
from clicklake.config import Config
from clicklake.errors import ClicklakeError, InputError
from clicklake.lake import snapshot
from clicklake.lake.commits import read_ledger
from clicklake.lake.metrics import RunMetrics
from clicklake.logs.inputs import REPLAYED
from clicklake.progress import Reporter
from clicklake.run import job
from clicklake.run.options import Options
from clicklake.schemas import SOURCES
from clicklake.storage import Storage, open_storage


def run(
    config: Config,
    options: Options,
    source: str | None,
    files: Sequence[str],
    reporter: Reporter,
) -> RunMetrics:
    """Bring in the repaired rows of `files`, or without files parse refused rows again.

    `source`: whose format the files have, or whose rows; None means every source's.
    Raises a ClicklakeError of the kind that fits.
    """
    if source and files:
        return _add(config, options, source, files, reporter)
    wanted = (source,) if source else SOURCES
    return job.run(config, replace(options, replay=wanted), reporter)


def _add(
    config: Config, options: Options, source: str, files: Sequence[str], reporter: Reporter
) -> RunMetrics:
    """Keep files of a source's format in the lake, and read them as a part of its input.

    Rows that the lake has already count as duplicates, whether they came from the raw input or
    from a file that was replayed before; a rebuild reads the files again. What the run cannot
    take is not kept.
    """
    absent = [name for name in files if not Path(name).is_file()]
    if absent:
        raise InputError(f"{absent[0]}: there is no such file.")
    engines.use_keys(config.aws)
    storage = open_storage(config.datalake.output_data)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    added = [
        (f"{REPLAYED}/{source}/{stamp}-{number}-{Path(name).name}", Path(name))
        for number, name in enumerate(files)
    ]
    try:
        for path, file in added:
            _copy(storage, path, file)
        return job.run(config, options, reporter)
    except ClicklakeError:
        _drop_unread(storage, source, [path for path, _ in added])
        raise


def _copy(storage: Storage, path: str, file: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="clicklake-") as folder:
        copy = Path(folder) / "copy"
        shutil.copyfile(file, copy)
        storage.upload(path, copy)  # which takes the file away


def _drop_unread(storage: Storage, source: str, paths: Sequence[str]) -> None:
    """Delete replayed files that no run has taken."""
    taken = read_ledger(storage, snapshot(storage).manifest).get(source, {})
    storage.delete(path for path in paths if path not in taken)
