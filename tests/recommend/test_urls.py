"""The spelling that all forms of a page's URL share."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from clicklake.recommend.urls import canonical_url

SAME_PAGE = [
    ("HTTP://Example.COM/Shop", "http://example.com/Shop"),
    ("http://example.com:80/shop", "http://example.com/shop"),
    ("https://example.com:443/shop", "https://example.com/shop"),
    ("http://example.com:/shop", "http://example.com/shop"),
    ("http://me:secret@example.com/shop", "http://example.com/shop"),
    ("/products/916/", "/products/916"),
    ("/products/916//", "/products/916"),
    ("/products/916#reviews", "/products/916"),
    ("/products/916?#/route?x=1", "/products/916"),
    ("http://example.com", "http://example.com/"),
    ("/a?b=2&a=1", "/a?a=1&b=2"),
    ("/a?&&a=1&", "/a?a=1"),
    ("/a?utm_source=x&a=1&UTM_Campaign=y&gclid=z&fbclid", "/a?a=1"),
    ("/a?PHPSESSID=0123&jsessionid=5", "/a"),
    ("/a;jsessionid=1A2B?a=1", "/a?a=1"),
    ("/a?sid=0123456789abcdef0123", "/a"),
]
DIFFERENT_PAGES = [
    ("/Products/916", "/products/916"),
    ("http://example.com:8080/", "http://example.com/"),
    ("http://example.com:443/", "http://example.com/"),
    ("/a?x=1", "/a?x=2"),
    ("/a?X=1", "/a?x=1"),
    ("/story?sid=12", "/story?sid=13"),
    ("/story?utm=12", "/story?utm=13"),
    ("/a?a=1&a=2", "/a?a=1"),
    ("/", "/a"),
]
AS_THEY_ARE = ["/products/916", "/", "products", "?q=1", "mailto:me@example.com", "#top", "/a:80"]


@pytest.fixture(scope="module")
def canonical(sail):
    """All URLs of this module's cases, canonicalised in one query."""
    urls = [url for pair in SAME_PAGE + DIFFERENT_PAGES for url in pair] + AS_THEY_ARE
    rows = sail.session.createDataFrame([(url,) for url in set(urls)], "url string")
    found = rows.select("url", canonical_url(F.col("url")).alias("page")).collect()
    return {row.url: row.page for row in found}


@pytest.mark.parametrize("url, page", SAME_PAGE)
def test_spellings_of_one_page_become_one(canonical, url, page):
    assert canonical[url] == canonical[page] == page


@pytest.mark.parametrize("one, other", DIFFERENT_PAGES)
def test_different_pages_stay_apart(canonical, one, other):
    assert canonical[one] != canonical[other]


@pytest.mark.parametrize("url", AS_THEY_ARE)
def test_what_is_canonical_stays_as_it_is(canonical, url):
    assert canonical[url] == url
