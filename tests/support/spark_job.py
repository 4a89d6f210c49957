"""A Spark Structured Streaming job that counts a topic by hours. It knows nothing of the product.

Its argument is JSON: `jars`, `servers`, `topic`, and `avro`, the schema, if messages are in Avro.
It prints the rows [start of the hour, events, of bots, visitors, sessions] as JSON.
"""

from __future__ import annotations

import json
import sys

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro

COLUMNS = "anonymous_user_id string, session_id string, time timestamp, is_bot boolean"
WIRE_BYTES = 5  # a zero, and the schema's id


def main() -> None:
    given = json.loads(sys.argv[1])
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", ",".join(given["jars"]))
        .config("spark.sql.shuffle.partitions", 2)
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", False)
        .getOrCreate()
    )
    counted = count_by_hour(events(spark, given))
    query = counted.writeStream.outputMode("complete").format("memory").queryName("hours")
    query.trigger(availableNow=True).start().awaitTermination()
    print(json.dumps([list(row) for row in spark.table("hours").collect()]))
    spark.stop()


def events(spark: SparkSession, given: dict) -> DataFrame:
    """The columns of the topic's committed events, told by their type in the CloudEvents header."""
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", given["servers"])
        .option("kafka.isolation.level", "read_committed")
        .option("subscribe", given["topic"])
        .option("startingOffsets", "earliest")
        .option("includeHeaders", True)
        .option("maxOffsetsPerTrigger", 500)
        .load()
    )
    type_ = F.expr("cast(filter(headers, h -> h.key = 'ce_type')[0].value as string)")
    is_event = type_ == "clicklake.clickstream.v1"
    return records.where(is_event).select(message(given).alias("event")).select("event.*")


def message(given: dict) -> Column:
    if "avro" in given:
        record = F.expr(f"substring(value, {WIRE_BYTES + 1})")
        # Spark may decode a record before it looks at its type.
        return from_avro(record, json.dumps(given["avro"]), {"mode": "PERMISSIVE"})
    return F.from_json(F.col("value").cast("string"), COLUMNS)


def count_by_hour(clicks: DataFrame) -> DataFrame:
    return (
        clicks.groupBy(F.window("time", "1 hour"))
        .agg(
            F.count("*").alias("events"),
            F.sum(F.col("is_bot").cast("int")).alias("bots"),
            F.size(F.collect_set("anonymous_user_id")).alias("visitors"),
            F.size(F.collect_set("session_id")).alias("sessions"),
        )
        .select(F.col("window.start").cast("string"), "events", "bots", "visitors", "sessions")
    )


main()
