"""A lake, opened for questions in SQL: `from clicklake.reading import open_lake`."""

from clicklake.ask.reading import ENGINES, OpenLake, open_lake

__all__ = ["ENGINES", "OpenLake", "open_lake"]
