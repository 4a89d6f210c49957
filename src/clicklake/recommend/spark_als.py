"""ALS on a Spark cluster, for more interactions than one machine should hold.

The model is the same as in `als`: Spark finds the pages' factors, and users' factors are
solved from their histories when they are scored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.recommend.als import Als, Side

# Spark's result depends on the number of blocks, so it must not depend on the cluster.
_BLOCKS = 16
_INT = 2**31 - 1


def fit_spark_als(
    pairs: DataFrame,
    n_pages: int,
    mean: float,
    params: dict[str, Any],
    iterations: int = 10,
) -> Als:
    """Train on rows of user_id, page (its number) and weight.

    `mean`: pages of a user in the mean; `params` are those of `als.fit_als`.
    Spark's regularisation grows with a user's pages alone: there is no term for the unseen.
    """
    from pyspark.ml.recommendation import ALS

    factors, alpha0 = params["factors"], params["alpha0"]
    alpha = 1 / alpha0
    ridge = params["strength"] / mean
    als = ALS(
        rank=factors,
        maxIter=iterations,
        regParam=ridge * alpha,
        alpha=alpha,
        implicitPrefs=True,
        numUserBlocks=_BLOCKS,
        numItemBlocks=_BLOCKS,
        seed=0,
        userCol="user",
        itemCol="page",
        ratingCol="weight",
        intermediateStorageLevel="MEMORY_AND_DISK",
    )
    # Spark's ids are 32-bit. Users whose hashes meet are trained as one: two in a billion pairs.
    user = F.pmod(F.xxhash64("user_id"), F.lit(_INT)).cast("int")
    rows = pairs.select(user.alias("user"), "page", F.col("weight").cast("float"))
    # Within a block Spark adds up in the order of the rows.
    ordered = rows.repartition(_BLOCKS, "user").sortWithinPartitions("user", "page")
    table = als.fit(ordered).itemFactors.select("id", "features").toArrow()
    found = np.zeros((n_pages, factors), dtype=np.float32)
    features = table.column("features").combine_chunks().flatten()
    found[table.column("id").to_numpy()] = features.to_numpy().reshape(-1, factors)
    return Als(Side.of(found, alpha0, ridge, background=0.0))
