"""Numbers that stand for something: units of time, and marks in columns of numbers.

Times are microseconds since 1970 (UTC) as int64.
"""

import numpy as np

SECOND = 1_000_000
MILLISECOND = 1000
DAY = 86_400 * SECOND

INVALID = np.iinfo(np.int64).min  # no time, or no number
ODD = INVALID + 1  # a value that compiled code has left
FAR = np.iinfo(np.int64).max  # a time that exists, beyond every range
