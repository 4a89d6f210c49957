"""The inner loops over sparse rows, compiled.

All sums are made in the order of the rows' entries, so that no result depends on the cores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clicklake.compiling import compile_once

Array = np.ndarray


@compile_once
def neighbours(
    bounds: Array,
    users: Array,
    left: Array,
    user_bounds: Array,
    pages: Array,
    right: Array,
    first: int,
    last: int,
    k: int,
) -> tuple[Array, Array, Array]:
    """For the pages from `first` to `last` the `k` greatest sums over shared users.

    `bounds`, `users`, `left`: weights by page; `user_bounds`, `pages`, `right`: by user. Returns
    the number of neighbours of each page, and their numbers (ascending) and sums. Of equal sums
    the lower page number is kept.
    """
    n_pages = len(bounds) - 1
    sums = np.zeros(n_pages)
    touched = np.empty(n_pages, dtype=np.int32)
    counts = np.zeros(last - first, dtype=np.int64)
    columns = np.empty((last - first) * k, dtype=np.int32)
    data = np.empty((last - first) * k, dtype=np.float32)
    at = 0
    for page in range(first, last):
        n = 0
        for entry in range(bounds[page], bounds[page + 1]):
            weight = np.float64(left[entry])
            user = users[entry]
            for other in range(user_bounds[user], user_bounds[user + 1]):
                column = pages[other]
                if sums[column] == 0.0:
                    touched[n] = column
                    n += 1
                sums[column] += weight * right[other]
        found = np.sort(_greatest(sums, touched[:n], page, k))
        for column in found:
            columns[at] = column
            data[at] = sums[column]
            at += 1
        counts[page - first] = len(found)
        for entry in range(n):
            sums[touched[entry]] = 0.0
    return counts, columns[:at], data[:at]


@compile_once
def _greatest(sums: Array, touched: Array, page: int, k: int) -> Array:
    """Of the columns `touched` without `page` the `k` with the greatest sums."""
    others = touched[touched != page]
    if len(others) <= k:
        return others
    values = sums[others]
    least = np.partition(values, len(values) - k)[len(values) - k]
    above = others[values > least]
    level = np.sort(others[values == least])
    return np.concatenate((above, level[: k - len(above)]))


@compile_once
def near_best(
    bounds: Array,
    seen: Array,
    weights: Array,
    similar_bounds: Array,
    similar_pages: Array,
    similar: Array,
    k: int,
    tolerance: float,
    least: float,
) -> tuple[Array, Array, Array]:
    """Row, page and score of what is unseen and could be among a row's `k` best.

    `bounds`, `seen`, `weights`: the histories; the others: what each page says of others.
    Scores within `tolerance` (a ratio) of the k-th best come along; those below `least` do not.
    """
    n_pages = len(similar_bounds) - 1
    sums = np.zeros(n_pages)
    touched = np.empty(n_pages, dtype=np.int32)
    touched_by = np.full(n_pages, -1, dtype=np.int64)
    best = np.empty(k)
    size = 2 * k * len(bounds)
    rows = np.empty(size, dtype=np.int32)
    pages = np.empty(size, dtype=np.int32)
    scores = np.empty(size)
    at = 0
    for row in range(len(bounds) - 1):
        n = 0
        for entry in range(bounds[row], bounds[row + 1]):
            weight = np.float64(weights[entry])
            page = seen[entry]
            for other in range(similar_bounds[page], similar_bounds[page + 1]):
                column = similar_pages[other]
                if touched_by[column] != row:
                    touched_by[column] = row
                    sums[column] = 0.0
                    touched[n] = column
                    n += 1
                sums[column] += weight * similar[other]
        for entry in range(bounds[row], bounds[row + 1]):
            sums[seen[entry]] = 0.0
        best[:] = least
        for entry in range(n):
            _keep(best, sums[touched[entry]])
        bound = best[0] * (1 - tolerance)
        if at + n > len(rows):
            size = 2 * (at + n)
            rows, pages = _longer(rows, size), _longer(pages, size)
            scores = _longer(scores, size)
        for entry in range(n):
            column = touched[entry]
            if sums[column] >= bound:
                rows[at], pages[at], scores[at] = row, column, sums[column]
                at += 1
    return rows[:at], pages[:at], scores[:at]


@compile_once
def _keep(best: Array, value: float) -> None:
    """Put `value` among the greatest, which are in ascending order, if it belongs there."""
    if value <= best[0]:
        return
    place = 0
    while place + 1 < len(best) and best[place + 1] < value:
        best[place] = best[place + 1]
        place += 1
    best[place] = value


@compile_once
def _longer(values: Array, size: int) -> Array:
    longer = np.empty(size, dtype=values.dtype)
    longer[: len(values)] = values
    return longer


@compile_once
def near_best_dense(
    bounds: Array,
    seen: Array,
    weights: Array,
    similar: Array,
    k: int,
    tolerance: float,
    least: float,
) -> tuple[Array, Array, Array]:
    """As `near_best`, where each page says something of every other one."""
    n_pages = similar.shape[1]
    sums = np.empty(n_pages)
    best = np.empty(k)
    size = 2 * k * len(bounds)
    rows = np.empty(size, dtype=np.int32)
    pages = np.empty(size, dtype=np.int32)
    scores = np.empty(size)
    at = 0
    for row in range(len(bounds) - 1):
        sums[:] = 0.0
        for entry in range(bounds[row], bounds[row + 1]):
            weight = np.float64(weights[entry])
            page = seen[entry]
            for column in range(n_pages):
                sums[column] += weight * similar[page, column]
        for entry in range(bounds[row], bounds[row + 1]):
            sums[seen[entry]] = 0.0
        best[:] = least
        for column in range(n_pages):
            _keep(best, sums[column])
        bound = best[0] * (1 - tolerance)
        if at + n_pages > len(rows):
            size = 2 * (at + n_pages)
            rows, pages = _longer(rows, size), _longer(pages, size)
            scores = _longer(scores, size)
        for column in range(n_pages):
            if sums[column] >= bound:
                rows[at], pages[at], scores[at] = row, column, sums[column]
                at += 1
    return rows[:at], pages[:at], scores[:at]


@compile_once
def look_up(bounds: Array, columns: Array, data: Array, rows: Array, wanted: Array) -> Array:
    """The entries at `rows` and `wanted` of a matrix whose columns ascend within a row."""
    found = np.zeros(len(rows), dtype=data.dtype)
    for at in range(len(rows)):
        found[at] = _entry(bounds, columns, data, rows[at], wanted[at])
    return found


@compile_once
def _entry(bounds: Array, columns: Array, data: Array, row: int, wanted: int) -> Any:
    low, end = bounds[row], bounds[row + 1]
    high = end
    while low < high:
        middle = (low + high) // 2
        if columns[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    if low < end and columns[low] == wanted:
        return data[low]
    return data.dtype.type(0)


@compile_once
def score_at(
    bounds: Array,
    seen: Array,
    weights: Array,
    similar_bounds: Array,
    similar_pages: Array,
    similar: Array,
    rows: Array,
    pages: Array,
) -> Array:
    """The sums of `near_best` for given rows and pages."""
    scores = np.zeros(len(rows))
    for at in range(len(rows)):
        for entry in range(bounds[rows[at]], bounds[rows[at] + 1]):
            value = _entry(similar_bounds, similar_pages, similar, seen[entry], pages[at])
            scores[at] += np.float64(weights[entry]) * value
    return scores


@compile_once
def score_at_dense(
    bounds: Array, seen: Array, weights: Array, similar: Array, rows: Array, pages: Array
) -> Array:
    """The sums of `near_best_dense` for given rows and pages."""
    scores = np.zeros(len(rows))
    for at in range(len(rows)):
        for entry in range(bounds[rows[at]], bounds[rows[at] + 1]):
            scores[at] += np.float64(weights[entry]) * similar[seen[entry], pages[at]]
    return scores


@compile_once
def fill(lists: Array, bounds: Array, seen: Array, n_pages: int) -> None:
    """Put the lowest page numbers that are neither seen nor listed into the free places (-1).

    `lists`: a row of pages for each history, the free places last; `bounds`, `seen`: the histories.
    """
    taken = np.full(n_pages, -1, dtype=np.int64)  # by which row
    for row in range(len(lists)):
        if lists[row, -1] >= 0:
            continue
        for entry in range(bounds[row], bounds[row + 1]):
            taken[seen[entry]] = row
        page = 0
        for place in range(lists.shape[1]):
            if lists[row, place] >= 0:
                taken[lists[row, place]] = row
                continue
            while page < n_pages and taken[page] == row:
                page += 1
            if page < n_pages:
                lists[row, place] = page
                page += 1
