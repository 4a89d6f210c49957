"""`dl.cfg`: every key with its default and its check. `load` is the only way in."""

from clicklake.config.load import find, load
from clicklake.config.mapping import SHAPES, Shape
from clicklake.config.sections import (
    FILES,
    ROOT,
    S3,
    Aws,
    Catalog,
    Cluster,
    Config,
    Csv,
    Database,
    DataLake,
    Job,
    Recommend,
    Report,
    Sources,
    Stream,
)

__all__ = [
    "FILES",
    "ROOT",
    "S3",
    "SHAPES",
    "Aws",
    "Catalog",
    "Cluster",
    "Config",
    "Csv",
    "DataLake",
    "Database",
    "Job",
    "Recommend",
    "Report",
    "Shape",
    "Sources",
    "Stream",
    "find",
    "load",
]
