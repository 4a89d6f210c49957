"""Bodies that are cut short are asked for again."""

from __future__ import annotations

import time
from collections.abc import Callable

from clicklake.storage.interface import T


def retried(fetch: Callable[[], T], attempts: int = 5) -> Callable[[], T]:
    """A body that is cut short or damaged is no error of the call, so it is asked for again.

    That of a refusal too, which comes as urllib3's error.
    """

    def call() -> T:
        from botocore.exceptions import (
            ConnectionError as BotoConnectionError,
        )
        from botocore.exceptions import (
            FlexibleChecksumError,
            HTTPClientError,
            IncompleteReadError,
        )
        from urllib3.exceptions import HTTPError

        for attempt in range(attempts):
            try:
                return fetch()
            except (
                HTTPClientError,
                BotoConnectionError,
                IncompleteReadError,
                FlexibleChecksumError,
                HTTPError,
                ConnectionError,
            ):
                if attempt == attempts - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    return call
