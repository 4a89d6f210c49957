"""The lake's tables in an Iceberg catalog: one snapshot of each table for every run.

Engines that read Iceberg see one state of a table there, whatever a run does meanwhile. Nothing
is copied: the catalog names the files that the lake keeps below `_clicklake/data/`. The lake's own
commit stays the truth; the catalog is brought to the same state after it, and by the next run if
that was cut off.
"""

from clicklake.catalog.publication import publish
from clicklake.catalog.target import CatalogTarget, target

__all__ = ["CatalogTarget", "publish", "target"]
