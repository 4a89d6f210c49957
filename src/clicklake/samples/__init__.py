"""Sample logs of a web shop that never was: seeded, a few megabytes or many gigabytes.

The shop's weeks have a rhythm and its days a night. A newsletter brings a spring sale, adverts
bring a festival, one blog post goes viral, and two crawlers come on one night. Visits cross
midnight, rows come late or twice, some are of other environments, and a few are malformed.

A log is made day by day and in blocks: numpy draws what happened, Arrow joins the text, and
nothing larger than a block is held. The same plan gives the same bytes.
"""

from clicklake.samples.plan import Plan
from clicklake.samples.sizes import of_size, small
from clicklake.samples.writing import Written, write

__all__ = ["Plan", "Written", "of_size", "small", "write"]
