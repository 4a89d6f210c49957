"""The shop: its pages, its people's tastes, its environments."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from clicklake.samples.draws import hashed, popular, texts

_CATEGORIES = ("bikes", "books", "camping", "coffee", "garden", "kitchen", "music", "running")


VIRAL = "/blog/the-octopus-that-dreams/"


PAGES = (
    "/",
    "/cart/",
    "/checkout/",
    VIRAL,
    "/blog/choosing-a-tent/",
    "/blog/café-crème-at-home/",
    "/blog/your-first-10-km/",
    "/blog/Gärtnern-im-März/",
    "/sale/spring/",
    "/festival/",
    *(f"/category/{name}/" for name in _CATEGORIES),
    *(
        f"/search/?q={words}"
        for words in ("tent", "red+bike", "caf%C3%A9", "r%C3%BCcksack", "椅子")
    ),
)


PAGE = {path: number for number, path in enumerate(PAGES)}


BLOG = np.array([PAGE[path] for path in PAGES if path.startswith("/blog/") and path != VIRAL])


LISTING = np.array([PAGE[path] for path in PAGES if path.startswith(("/category/", "/search/"))])


FIRST_PRODUCT = len(PAGES)


def page_table(products: int) -> pa.Array:
    return texts([*PAGES, *(f"/products/{101 + number}/" for number in range(products))])


def product_pages(
    rng: np.random.Generator, taste: np.ndarray, products: int, loyalty: float
) -> np.ndarray:
    """Product pages; a share of `loyalty` of them from the category of one's `taste`."""
    size = len(taste)
    own = rng.random(size) < loyalty
    category = np.where(own, taste, rng.integers(0, len(_CATEGORIES), size))
    rank = popular(rng, size, products // len(_CATEGORIES))
    return FIRST_PRODUCT + rank * len(_CATEGORIES) + category


def taste_of(people: np.ndarray, salt: int) -> np.ndarray:
    return (hashed(people, salt) % np.uint64(len(_CATEGORIES))).astype(np.int64)


ENVIRONMENTS = texts(["production", "staging", "development", "test"])


def environments_of(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.searchsorted([0.93, 0.97, 0.99], rng.random(size), side="right")
