-- What came in, delivery by delivery, and what could not become a row. The
-- time for which raw_webhooks keeps its rows is set from the configuration.

CREATE TABLE IF NOT EXISTS raw_webhooks
(
    event_id UUID CODEC(NONE),
    webhook_id String CODEC(ZSTD(1)),
    topic LowCardinality(String),
    shop_id String CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    body String CODEC(ZSTD(1)),
    shop_domain LowCardinality(String),
    merchant_id String CODEC(ZSTD(1)),
    api_version LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (shop_id, received_at)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS dead_letters
(
    stage LowCardinality(String),
    reason LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    topic LowCardinality(String),
    shop_id String CODEC(ZSTD(1)),
    webhook_id String CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    body String CODEC(ZSTD(1)),
    event_id UUID CODEC(NONE),
    shop_domain LowCardinality(String),
    merchant_id String CODEC(ZSTD(1)),
    api_version LowCardinality(String),
    sink LowCardinality(String),
    kafka_partition Nullable(Int64) CODEC(ZSTD(1)),
    kafka_offset Nullable(Int64) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (stage, reason, received_at)
SETTINGS non_replicated_deduplication_window = 10000;
