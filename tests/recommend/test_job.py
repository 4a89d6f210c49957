"""`page_recommendations` from the lake's tables."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa
import pytest

from clicklake.recommend import bundle
from clicklake.recommend.interactions import Weighting
from clicklake.recommend.models import ItemToItem
from clicklake.schemas import PAGE_RECOMMENDATIONS, TIMESTAMP
from recommend_support import digest, lists, run, shops, spelling, user_page_views, users


@pytest.fixture(scope="module")
def shop_table(sail, tmp_path_factory):
    known = users(*range(120), 900)
    return run(sail, shops(), known, tmp_path_factory.mktemp("scratch"))


def test_the_table_is_as_it_is_declared(shop_table):
    table, _ = shop_table
    assert table.schema.names == PAGE_RECOMMENDATIONS.columns
    for field in PAGE_RECOMMENDATIONS.schema:
        assert table.schema.field(field.name).type == field.type
        if not field.nullable:
            assert table.column(field.name).null_count == 0


def test_every_user_gets_three_pages_that_it_has_not_seen_under_any_spelling(shop_table):
    table, _ = shop_table
    seen: dict[int, set[str]] = {}
    for row in shops().to_pylist():
        seen.setdefault(row["user_id"], set()).add(spelling(row["url"]))
    found = lists(table)
    assert sorted(found) == [*range(120), 900]
    for user, urls in found.items():
        pages = {spelling(url) for url in urls}
        assert len(pages) == len(urls) == 3
        assert not pages & seen.get(user, set())


def test_recommendations_stay_in_the_users_shop(shop_table):
    table, report = shop_table
    rows = [row for row in table.to_pylist() if row["source"] != "popular"]
    assert len(rows) > 300
    own = [spelling(row["recommended_url"])[0] == str(row["user_id"] % 2) for row in rows]
    assert np.mean(own) > 0.95
    assert report["quality"]["ndcg@3"]["mean"] > report["popularity"]["ndcg@3"]["mean"]


def test_the_reason_is_a_page_of_the_user(shop_table):
    table, _ = shop_table
    seen = {(row["user_id"], spelling(row["url"])) for row in shops().to_pylist()}
    for row in table.to_pylist():
        if row["source"] == "popular":
            assert row["because_url"] is None
        elif row["because_url"]:
            assert (row["user_id"], spelling(row["because_url"])) in seen


def test_a_user_without_views_gets_popular_pages(shop_table):
    table, _ = shop_table
    rows = [row for row in table.to_pylist() if row["user_id"] == 900]
    assert [row["source"] for row in rows] == ["popular"] * 3
    assert rows[0]["email"] == "user900@example.com"
    viewers: dict[str, set[int]] = {}
    for row in shops().to_pylist():
        viewers.setdefault(spelling(row["url"]), set()).add(row["user_id"])
    most = sorted((len(people) for people in viewers.values()), reverse=True)[:3]
    assert [len(viewers[spelling(row["recommended_url"])]) for row in rows] == most


@pytest.mark.slow
def test_excluded_pages_are_neither_shown_nor_a_reason(sail, shop_table, tmp_path):
    rule = r"^[^?]*/page-(1|5)$"
    without, _ = run(sail, shops(), users(*range(120)), tmp_path, exclude=rule)
    named = {"page-1", "page-5"}
    assert named <= {page_of(url) for url in shown_or_reason(shop_table[0])}
    assert not named & {page_of(url) for url in shown_or_reason(without)}
    assert all(len(urls) == 3 for urls in lists(without).values())


def test_all_pages_excluded(sail, tmp_path):
    table, report = run(sail, shops(), users(1), tmp_path, exclude=".")
    assert table.num_rows == 0
    assert report["warnings"] == [
        "There are no page views to recommend from. [RECOMMEND] EXCLUDE may leave out all."
    ]


@pytest.mark.slow
def test_pages_that_nobody_viewed_lately_are_not_shown(sail, tmp_path):
    """One view of an old page keeps it; that another user viewed it long ago does not matter."""
    day = timedelta(days=1)
    pages = {"/old": [0], "/edge": [3], "/again": [0, 9], "/new": [10]}
    rows = [
        (10 * number + user, url, days)
        for number, (url, seen) in enumerate(pages.items())
        for user in range(2)
        for days in seen[user : user + 1] or seen[:1]
    ]
    views = user_page_views(*[(user, url) for user, url, _ in rows])
    first = views["last_viewed"][0].as_py()
    times = pa.array([first + days * day for *_, days in rows], TIMESTAMP)
    views = views.set_column(views.schema.get_field_index("last_viewed"), "last_viewed", times)
    for days, missing in ((0, set()), (7, {"/old"}), (6, {"/old", "/edge"})):
        settings = {"model": "popularity", "viewed_within_days": days}
        table, _ = run(sail, views, users(*range(100, 103)), fresh(tmp_path), **settings)
        shown = {url for urls in lists(table).values() for url in urls}
        assert shown == pages.keys() - missing


def fresh(folder: Path) -> Path:
    return Path(mkdtemp(dir=folder))


def shown_or_reason(table: pa.Table) -> set[str]:
    rows = table.to_pylist()
    reasons = {row["because_url"] for row in rows if row["because_url"]}
    return {row["recommended_url"] for row in rows} | reasons


def page_of(url: str) -> str:
    return spelling(url).split("/")[-1]


@pytest.mark.slow
def test_the_table_is_the_same_bytes_however_the_rows_are_spread(sail, shop_table, tmp_path):
    expected = digest(shop_table[0])
    for partitions in (1, 5):
        scratch = tmp_path / str(partitions)
        scratch.mkdir()
        table, _ = run(sail, shops(), users(*range(120), 900), scratch, partitions)
        assert digest(table) == expected


@pytest.mark.slow
def test_the_commonest_spelling_is_shown(sail, tmp_path):
    views = user_page_views(
        (1, "/a/"), (2, "/a"), (3, "/a"), (1, "/b"), (2, "/b?utm_source=x"), count=[2, 1, 2, 1, 1]
    )
    table, _ = run(sail, views, users(9), tmp_path)
    assert lists(table)[9] == ["/a", "/b"]


def test_equally_popular_pages_are_in_order_of_their_urls(sail, tmp_path):
    views = user_page_views((1, "/c"), (2, "/b"), (3, "/a"), (4, "/d"))
    table, _ = run(sail, views, users(9), tmp_path)
    assert lists(table)[9] == ["/a", "/b", "/c"]


def test_a_viewer_who_is_no_known_user_gets_a_list_without_email(sail, tmp_path):
    table, report = run(sail, user_page_views((1, "/a"), (2, "/b")), users(2), tmp_path)
    assert lists(table) == {1: ["/b"], 2: ["/a"]}
    assert table.column("email").to_pylist() == [None, "user2@example.com"]
    assert report["model"] == "popular"


@pytest.mark.slow
def test_rare_pages_are_left_out_of_a_large_catalogue(sail, tmp_path, monkeypatch):
    monkeypatch.setattr("clicklake.recommend.job._SMALL_CATALOGUE", 2)
    views = user_page_views((1, "/a"), (2, "/a"), (1, "/b"), (2, "/b"), (1, "/rare"))
    table, report = run(sail, views, users(9), tmp_path)
    assert lists(table) == {9: ["/a", "/b"]}
    assert report["pages"] == 2


def test_no_page_views_make_no_recommendations(sail, tmp_path):
    nothing = user_page_views((1, "/a")).slice(0, 0)
    table, report = run(sail, nothing, users(1), tmp_path)
    assert table.num_rows == 0
    assert report["warnings"]


def test_a_part_of_the_users_is_fitted_where_all_are_too_many(sail, tmp_path):
    table, report = run(
        sail, shops(), users(*range(120)), tmp_path, max_fit_pairs=300, model="ease"
    )
    assert 100 < report["fitted_pairs"] < report["pairs"]
    assert len(lists(table)) == 120


def test_a_bundle_comes_back_as_it_was(tmp_path):
    similar = np.arange(9, dtype=np.float32).reshape(3, 3)
    keys = np.array([-5, 2, 7])
    given = bundle.Bundle(
        ItemToItem("ease", similar),
        Weighting("log", 5),
        keys,
        np.array([2, 0, 1], dtype=np.int32),
        pa.array(["/a", "/é", "/c"]),
    )
    given.save(tmp_path / "b")
    found = bundle.load(str(tmp_path / "b"))
    assert found.model.similar.tolist() == similar.tolist()
    assert not found.model.similar.flags.writeable, "it is the file, not a copy"
    assert (found.keys.tolist(), found.numbers.tolist()) == ([-5, 2, 7], [2, 0, 1])
    assert found.urls.to_pylist() == ["/a", "/é", "/c"]
    assert found.weighting == given.weighting
