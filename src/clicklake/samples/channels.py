"""Where visits come from, and on which devices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clicklake.samples.draws import hashed, texts
from clicklake.samples.plan import Plan
from clicklake.samples.shop import LISTING, PAGES, VIRAL


@dataclass(frozen=True)
class Channel:
    """A way by which visitors come: where they land, with which query, how long they stay.

    Its visits per day are `steady` times the rhythm of the shop, plus `peak` from `begin` (a
    share of the period) on, which fades by half in `half_life` days. The unit is the number of
    visits of a usual day.
    """

    landing: tuple[str, ...]  # an empty text stands for a product
    query: str
    events: float
    steady: float = 0.0
    peak: float = 0.0
    begin: float = 0.0
    half_life: float = 1.0

    def lift(self, plan: Plan) -> np.ndarray:
        since = np.arange(plan.days) - int(self.begin * plan.days)
        return np.where(since >= 0, self.peak * 0.5 ** (since / self.half_life), 0.0)


_SPRING = "utm_campaign=spring_sale"


_FESTIVAL = "utm_campaign=f%C3%AAte+de+la+musique"


VIRAL_CHANNEL = Channel(
    (VIRAL,), "?utm_source=twitter&utm_medium=social", 1.3, peak=3.2, begin=0.52, half_life=0.9
)


CHANNELS = (
    Channel(("/", "/", ""), "", 5.5, steady=0.6),
    Channel(("", "", *(PAGES[n] for n in LISTING[:8])), "", 4.0, steady=0.33),
    Channel(("/sale/spring/",), f"?utm_source=newsletter&utm_medium=email&{_SPRING}", 6.5,
            peak=0.9, begin=0.25, half_life=2.0),
    Channel(("/sale/spring/", ""), f"?utm_source=google&utm_medium=cpc&{_SPRING}#top", 4.5,
            steady=0.02, peak=0.25, begin=0.25, half_life=6.0),
    Channel(("/festival/",), f"?utm_source=instagram&utm_medium=social&{_FESTIVAL}", 3.5,
            steady=0.01, peak=0.9, begin=0.75, half_life=5.0),
    VIRAL_CHANNEL,
    Channel((VIRAL, VIRAL, "/"), "?ref=front+page", 1.4, peak=1.2, begin=0.54, half_life=1.2),
)  # fmt: skip


# What visitors use: weight, browser, os, screens and whether it is a mobile one.
_DEVICES = (
    (24, "Chrome 65", "Windows 10", ("1920x1080", "1366x768", "1536x864", "2560x1440"), False),
    (8, "Firefox 59", "Windows 7", ("1280x1024", "1920x1080"), False),
    (5, "Edge 16", "Windows 10", ("1920x1080", "1600 x 900"), False),
    (8, "Safari 11", "macOS 10.13", ("1440x900", "2560x1600"), False),
    (3, "Firefox 59", "Linux", ("1920x1080", ""), False),
    (2, "Internet Explorer 11", "Windows 7", ("1024X768",), False),
    (22, "Chrome Mobile 65", "Android 8.0", ("360x640", "412x732", "393x786"), True),
    (18, "Mobile Safari 11", "iOS 11.3", ("375x667", "375x812", "414x736"), True),
    (3, "Samsung Internet 6", '"Android 7.0, Samsung"', ("360x740",), True),
    (2, "", "Android 6.0", ("", "unknown"), True),
    (1.2, "Googlebot/2.1", "", ("1024x1024",), False),
    (0.6, "Mozilla/5.0 (compatible; bingbot/2.0)", "", ("",), False),
    (0.4, "HeadlessChrome 65", "Linux", ("800x600",), False),
)


_DEVICE_WEIGHTS = np.cumsum(
    [weight / len(screens) for weight, _, _, screens, _ in _DEVICES for _ in screens]
)


DEVICE_TEXT = texts(
    [f",{browser},{os},{s}\n" for _, browser, os, screens, _ in _DEVICES for s in screens]
)


HOSTS = texts(
    [
        f",https://{'m' if mobile else 'shop'}.example.com"
        for _, _, _, screens, mobile in _DEVICES
        for _ in screens
    ]
)


BROWSERS = [browser for _, browser, _, screens, _ in _DEVICES for _ in screens]


def devices(visitors: np.ndarray) -> np.ndarray:
    """Each visitor's device, always the same."""
    share = (hashed(visitors, 5) >> np.uint64(11)).astype(np.float64) / 2**53
    return np.searchsorted(_DEVICE_WEIGHTS, share * _DEVICE_WEIGHTS[-1], side="right")
