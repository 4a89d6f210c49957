-- The lake's tables for Athena (or any Hive metastore). Put the lake's address in place of
-- ${lake}; partitions are computed from the query, so no crawler and no MSCK REPAIR is needed.

CREATE DATABASE IF NOT EXISTS clicklake;

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.user_updates (
  `updated_at` timestamp,
  `user_id` bigint,
  `email` string,
  `name` string
)
PARTITIONED BY (`year` int, `month` int)
STORED AS PARQUET
LOCATION '${lake}/user_updates/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer', 'projection.year.range' = '2000,2100',
  'projection.month.type' = 'integer', 'projection.month.range' = '1,12'
);

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.users (
  `user_id` bigint,
  `email` string,
  `name` string,
  `first_updated_at` timestamp,
  `last_updated_at` timestamp
)
STORED AS PARQUET
LOCATION '${lake}/users/';

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.page_views (
  `ts` timestamp,
  `user_id` bigint,
  `url` string
)
PARTITIONED BY (`year` int, `month` int)
STORED AS PARQUET
LOCATION '${lake}/page_views/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer', 'projection.year.range' = '2000,2100',
  'projection.month.type' = 'integer', 'projection.month.range' = '1,12'
);

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.user_page_views (
  `user_id` bigint,
  `email` string,
  `url` string,
  `count` bigint,
  `last_viewed` timestamp
)
STORED AS PARQUET
LOCATION '${lake}/user_page_views/';

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.clickstream (
  `anonymous_user_id` string,
  `url` string,
  `time` timestamp,
  `browser` string,
  `os` string,
  `screen_resolution` string,
  `host` string,
  `path` string,
  `utm_source` string,
  `utm_medium` string,
  `utm_campaign` string,
  `screen_width` bigint,
  `screen_height` bigint,
  `is_bot` boolean,
  `bot_reason` string,
  `session_id` string
)
PARTITIONED BY (`year` int, `month` int)
STORED AS PARQUET
LOCATION '${lake}/clickstream/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer', 'projection.year.range' = '2000,2100',
  'projection.month.type' = 'integer', 'projection.month.range' = '1,12'
);

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.sessions (
  `session_id` string,
  `anonymous_user_id` string,
  `started_at` timestamp,
  `ended_at` timestamp,
  `events` bigint,
  `landing_path` string,
  `exit_path` string,
  `utm_source` string,
  `utm_medium` string,
  `utm_campaign` string,
  `browser` string,
  `os` string,
  `is_bot` boolean
)
PARTITIONED BY (`year` int, `month` int)
STORED AS PARQUET
LOCATION '${lake}/sessions/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer', 'projection.year.range' = '2000,2100',
  'projection.month.type' = 'integer', 'projection.month.range' = '1,12'
);

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.page_recommendations (
  `user_id` bigint,
  `email` string,
  `recommended_url` string,
  `rank` int,
  `score` double,
  `source` string,
  `because_url` string
)
STORED AS PARQUET
LOCATION '${lake}/page_recommendations/';

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.quarantine (
  `file` string,
  `line` bigint,
  `reason` string,
  `raw` string,
  `run_id` string
)
PARTITIONED BY (`source` string)
STORED AS PARQUET
LOCATION '${lake}/quarantine/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.source.type' = 'enum',
  'projection.source.values' = 'user_updates,page_views,clickstream'
);

CREATE EXTERNAL TABLE IF NOT EXISTS clicklake.bad_files (
  `source` string,
  `file` string,
  `size` bigint,
  `reason` string,
  `first_run` string,
  `last_run` string
)
STORED AS PARQUET
LOCATION '${lake}/bad_files/';
