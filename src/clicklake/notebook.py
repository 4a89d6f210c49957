"""`from clicklake.notebook import *`: all that the notebook's cells use."""

import matplotlib.pyplot as plt
import pandas as pd

from clicklake.ask.notebook import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    WEEKDAYS,
    bars,
    heatmap,
    recommendation_quality,
    start,
)

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "RED",
    "WEEKDAYS",
    "bars",
    "heatmap",
    "pd",
    "plt",
    "recommendation_quality",
    "start",
]
