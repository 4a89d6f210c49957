"""How far a run is, and what a person sees of it."""

from clicklake.progress.reporter import Reporter, Stage
from clicklake.progress.work import WORK, Work

__all__ = ["WORK", "Reporter", "Stage", "Work"]
