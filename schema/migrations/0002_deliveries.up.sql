-- What came in, delivery by delivery, and what could not become a row. The
-- time for which raw_webhooks keeps its rows is set from the configuration.

CREATE TABLE IF NOT EXISTS raw_webhooks
(
    event_id UUID CODEC(NONE),
    webhook_id String CODEC(ZSTD(1)),
    topic LowCardinality(String) CODEC(ZSTD(1)),
    shop_id String,
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    body String CODEC(ZSTD(1)),
    shop_domain LowCardinality(String) CODEC(ZSTD(1)),
    merchant_id String,
    api_version LowCardinality(String) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (shop_id, received_at)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS dead_letters
(
    stage LowCardinality(String) CODEC(ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(1)),
    topic LowCardinality(String) CODEC(ZSTD(1)),
    shop_id String,
    webhook_id String CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    body String CODEC(ZSTD(1)),
    event_id UUID CODEC(NONE),
    shop_domain LowCardinality(String) CODEC(ZSTD(1)),
    merchant_id String,
    api_version LowCardinality(String) CODEC(ZSTD(1)),
    sink LowCardinality(String) CODEC(ZSTD(1)),
    kafka_partition Nullable(Int64) CODEC(T64, ZSTD(1)),
    kafka_offset Nullable(Int64) CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (stage, reason, received_at)
SETTINGS non_replicated_deduplication_window = 10000;
