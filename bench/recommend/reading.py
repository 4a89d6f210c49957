"""Interaction files of many kinds, as Interactions."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from clicklake.recommend.interactions import Interactions

NAMES = {
    "user": ("user", "user_id", "userid", "uid", "visitor", "visitor_id", "customer_id"),
    "page": ("page", "page_id", "url", "item", "item_id", "itemid", "iid", "movie_id", "movieid"),
    "time": ("time", "timestamp", "ts", "last_viewed", "date", "datetime", "unix_time"),
    "count": ("count", "views", "n", "plays", "weight", "visits"),
}


@dataclass(frozen=True)
class Columns:
    """The columns that the command line names; None is found by its usual names."""

    user: str | None = None
    page: str | None = None
    time: str | None = None
    count: str | None = None


def read(paths: Iterable[Path], columns: Columns) -> pd.DataFrame:
    """Columns user, page and, where the files have them, time (microseconds) and count."""
    frames = [_standard(_read_one(path), columns, path) for path in paths]
    rows = pd.concat(frames, ignore_index=True)
    if rows.isna().any(axis=None):
        raise SystemExit(
            f"{', '.join(map(str, paths))}: the files differ in columns or lack values."
        )
    return rows


def _read_one(path: Path) -> pd.DataFrame:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return pd.read_parquet(path)
    if name.endswith((".data", ".test")) and _first_line(path).startswith("I,"):
        return pd.DataFrame(_microsoft(path), columns=["user", "page"])
    if name.endswith(".txt"):
        return pd.DataFrame(_adjacency(path), columns=["user", "page"])
    first = _first_line(path)
    separator = "\t" if "\t" in first else ","
    is_header = not any(cell.strip().isdigit() for cell in first.split(separator))
    return pd.read_csv(path, sep=separator, header=0 if is_header else None, dtype=str)


def _first_line(path: Path) -> str:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="latin-1") as file:
        return file.readline().rstrip("\n")


def _microsoft(path: Path) -> Iterator[tuple[str, str]]:
    """The UCI log of microsoft.com: a line `C,"10001",10001` and its user's `V,1000,1`."""
    user = ""
    for line in path.read_text(encoding="latin-1").splitlines():
        kind, _, rest = line.partition(",")
        if kind == "C":
            user = path.suffix[1:] + rest.split(",")[1]
        elif kind == "V":
            yield user, rest.split(",")[0]


def _adjacency(path: Path) -> Iterator[tuple[str, str]]:
    """Lines of a user and its pages, as in the LightGCN splits."""
    for line in path.read_text().splitlines():
        user, *pages = line.split()
        for page in pages:
            yield user, page


def _standard(raw: pd.DataFrame, columns: Columns, path: Path) -> pd.DataFrame:
    found = {}
    for at, (role, names) in enumerate(NAMES.items()):
        given = getattr(columns, role)
        usual = [name for name in raw.columns if str(name).lower() in names]
        if given is not None:
            found[role] = raw[int(given) if given.isdigit() else given]
        elif usual:
            found[role] = raw[usual[0]]
        elif role in ("user", "page") and at < raw.shape[1]:
            found[role] = raw.iloc[:, at]
    if not {"user", "page"} <= set(found):
        raise SystemExit(f"{path}: no column for user or page among {list(raw.columns)}.")
    rows = pd.DataFrame(found).astype({"user": str, "page": str})
    if "time" in rows:
        rows["time"] = _microseconds(rows["time"])
    if "count" in rows:
        rows["count"] = pd.to_numeric(rows["count"])
    return rows


def _microseconds(times: pd.Series) -> pd.Series:
    seconds = pd.to_numeric(times, errors="coerce")
    if seconds.notna().all():
        return (seconds * 1_000_000).astype("int64")
    return pd.to_datetime(times, utc=True, format="ISO8601").astype("int64") // 1000


@dataclass(frozen=True)
class Split:
    """What models may see, and the hidden pages, one row for each user in both."""

    train: Interactions
    hidden: csr_matrix
    protocol: str


def split(rows: pd.DataFrame, test: pd.DataFrame | None) -> Split:
    """By the given test rows; else the last page of each user with two pages or more.

    The last by time, else by the md5 of "user|page". Pages that only the test has stay in the
    catalogue.
    """
    pairs = _pairs(rows)
    if test is not None:
        pairs = pd.concat([pairs.assign(hidden=False), _pairs(test).assign(hidden=True)])
        pairs = pairs.drop_duplicates(["user", "page"], keep="first", ignore_index=True)
        protocol = "given test split"
    else:
        timed = "time" in pairs
        tie = [
            hashlib.md5(f"{u}|{p}".encode()).hexdigest()
            for u, p in zip(pairs.user, pairs.page, strict=True)
        ]
        ordered = pairs.assign(tie=tie).sort_values(["time", "tie"] if timed else ["tie"])
        last = ordered.groupby("user").tail(1).index
        many = pairs.groupby("user")["page"].transform("size") >= 2
        pairs["hidden"] = pairs.index.isin(last) & many
        protocol = "last page of each user by " + ("time" if timed else 'md5("user|page")')
    return _numbered(pairs.reset_index(drop=True), protocol)


def _pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each user and page."""
    counted = rows if "count" in rows else rows.assign(count=1)
    how = {"count": "sum"} | ({"time": "max"} if "time" in rows else {})
    return counted.groupby(["user", "page"], sort=False, as_index=False).agg(how)


def _numbered(pairs: pd.DataFrame, protocol: str) -> Split:
    users = np.unique(pairs.user, return_inverse=True)[1]
    seen = pairs[~pairs.hidden].page.value_counts()
    names = pd.Series(pairs.page.unique())
    order = pd.DataFrame({"page": names, "users": names.map(seen).fillna(0)})
    order = order.sort_values(["users", "page"], ascending=[False, True], ignore_index=True)
    pages = pairs.page.map(pd.Series(order.index, index=order.page)).to_numpy()
    shape = (users.max() + 1, len(order))
    hidden = pairs.hidden.to_numpy()
    times = pairs["time"].to_numpy() if "time" in pairs and pairs.time.notna().all() else None
    every = Interactions.of(users, pages, pairs["count"].to_numpy(), times, len(order))
    ones = np.ones(hidden.sum(), dtype=np.float32)
    test = csr_matrix((ones, (users[hidden], pages[hidden])), shape=shape)
    is_hidden = np.asarray(test[every.rows, every.views.indices]).ravel() > 0
    return Split(every.without(is_hidden), test, protocol)
