-- The facts. A resend of an event is the same row again: it has the same
-- sorting key, and ReplacingMergeTree keeps the one with the latest
-- normalized_at. Read them through the views, which collapse at any moment.
-- The deduplication window makes a repeated insert of one Kafka range store
-- nothing. It counts the inserts of all partitions together. Several connectors
-- may run these statements at once, so each can be repeated. The codecs are
-- those that docs/adr/0003-codecs.md measures.

CREATE TABLE IF NOT EXISTS fact_points
(
    event_id UUID CODEC(NONE),
    shop_id String,
    shop_domain LowCardinality(String) CODEC(ZSTD(1)),
    merchant_id String,
    api_version LowCardinality(String) CODEC(ZSTD(1)),
    webhook_id String CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    buyer_id String CODEC(ZSTD(1)),
    update_type LowCardinality(String) CODEC(ZSTD(1)),
    updated_scene LowCardinality(String) CODEC(ZSTD(1)),
    updated_value Int64 CODEC(T64, ZSTD(1)),
    points_delta Int64 CODEC(T64, ZSTD(1)),
    points_balance Nullable(Int64) CODEC(T64, ZSTD(1)),
    points_expires_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    normalized_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(normalized_at)
PARTITION BY toYYYYMM(updated_at)
ORDER BY (shop_id, buyer_id, updated_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS fact_store_credits
(
    event_id UUID CODEC(NONE),
    shop_id String,
    shop_domain LowCardinality(String) CODEC(ZSTD(1)),
    merchant_id String,
    api_version LowCardinality(String) CODEC(ZSTD(1)),
    webhook_id String CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    buyer_id String CODEC(ZSTD(1)),
    store_credits_code String CODEC(ZSTD(1)),
    update_type LowCardinality(String) CODEC(ZSTD(1)),
    update_reason LowCardinality(String) CODEC(ZSTD(1)),
    update_value_cents Int64 CODEC(T64, ZSTD(1)),
    balance_delta_cents Int64 CODEC(T64, ZSTD(1)),
    current_balance_cents Nullable(Int64) CODEC(T64, ZSTD(1)),
    expires_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    normalized_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(normalized_at)
PARTITION BY toYYYYMM(updated_at)
ORDER BY (shop_id, buyer_id, updated_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS fact_gift_cards
(
    event_id UUID CODEC(NONE),
    shop_id String,
    shop_domain LowCardinality(String) CODEC(ZSTD(1)),
    merchant_id String,
    api_version LowCardinality(String) CODEC(ZSTD(1)),
    webhook_id String CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    buyer_id String CODEC(ZSTD(1)),
    gift_card_code String CODEC(ZSTD(1)),
    update_type LowCardinality(String) CODEC(ZSTD(1)),
    scene_type LowCardinality(String) CODEC(ZSTD(1)),
    update_value_cents Int64 CODEC(T64, ZSTD(1)),
    balance_delta_cents Int64 CODEC(T64, ZSTD(1)),
    current_balance_cents Nullable(Int64) CODEC(T64, ZSTD(1)),
    original_value_cents Nullable(Int64) CODEC(T64, ZSTD(1)),
    expires_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    normalized_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(normalized_at)
PARTITION BY toYYYYMM(updated_at)
ORDER BY (shop_id, buyer_id, updated_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS fact_customer_changes
(
    event_id UUID CODEC(NONE),
    shop_id String,
    shop_domain LowCardinality(String) CODEC(ZSTD(1)),
    merchant_id String,
    api_version LowCardinality(String) CODEC(ZSTD(1)),
    webhook_id String CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    accepts_marketing Nullable(Bool) CODEC(ZSTD(1)),
    accepts_marketing_updated_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    accepts_mobile_marketing Nullable(Bool) CODEC(ZSTD(1)),
    accepts_mobile_marketing_updated_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    `addresses.address1` Array(String) CODEC(ZSTD(1)),
    `addresses.address2` Array(String) CODEC(ZSTD(1)),
    `addresses.city` Array(String) CODEC(ZSTD(1)),
    `addresses.company` Array(String) CODEC(ZSTD(1)),
    `addresses.country` Array(String) CODEC(ZSTD(1)),
    `addresses.country_code` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `addresses.customer_id` Array(String) CODEC(ZSTD(1)),
    `addresses.default` Array(Bool) CODEC(ZSTD(1)),
    `addresses.first_name` Array(String) CODEC(ZSTD(1)),
    `addresses.id` Array(String) CODEC(ZSTD(1)),
    `addresses.last_name` Array(String) CODEC(ZSTD(1)),
    `addresses.phone` Array(String) CODEC(ZSTD(1)),
    `addresses.province` Array(String) CODEC(ZSTD(1)),
    `addresses.province_code` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `addresses.zip` Array(String) CODEC(ZSTD(1)),
    asid String CODEC(ZSTD(1)),
    birthday Nullable(Date32) CODEC(ZSTD(1)),
    created_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    default_address_address1 String CODEC(ZSTD(1)),
    default_address_address2 String CODEC(ZSTD(1)),
    default_address_city String CODEC(ZSTD(1)),
    default_address_company String CODEC(ZSTD(1)),
    default_address_country String CODEC(ZSTD(1)),
    default_address_country_code LowCardinality(String) CODEC(ZSTD(1)),
    default_address_customer_id String CODEC(ZSTD(1)),
    default_address_default Nullable(Bool) CODEC(ZSTD(1)),
    default_address_first_name String CODEC(ZSTD(1)),
    default_address_id String CODEC(ZSTD(1)),
    default_address_last_name String CODEC(ZSTD(1)),
    default_address_phone String CODEC(ZSTD(1)),
    default_address_province String CODEC(ZSTD(1)),
    default_address_province_code LowCardinality(String) CODEC(ZSTD(1)),
    default_address_zip String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    email_marketing_consent_consent_collected_from String CODEC(ZSTD(1)),
    email_marketing_consent_consent_updated_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    email_marketing_consent_opt_in_level Nullable(Int64) CODEC(T64, ZSTD(1)),
    email_marketing_consent_state Nullable(Int64) CODEC(T64, ZSTD(1)),
    email_subscribe_flag Nullable(Int64) CODEC(T64, ZSTD(1)),
    first_name String CODEC(ZSTD(1)),
    gender LowCardinality(String) CODEC(ZSTD(1)),
    language LowCardinality(String) CODEC(ZSTD(1)),
    last_name String CODEC(ZSTD(1)),
    last_order_id String CODEC(ZSTD(1)),
    mobile_subscribe_flag Nullable(Int64) CODEC(T64, ZSTD(1)),
    multipass_identifier String CODEC(ZSTD(1)),
    nick_name String CODEC(ZSTD(1)),
    note String CODEC(ZSTD(1)),
    orders_count Nullable(Int64) CODEC(T64, ZSTD(1)),
    phone String CODEC(ZSTD(1)),
    sms_marketing_consent_consent_collected_from String CODEC(ZSTD(1)),
    sms_marketing_consent_consent_updated_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    sms_marketing_consent_opt_in_level Nullable(Int64) CODEC(T64, ZSTD(1)),
    sms_marketing_consent_state Nullable(Int64) CODEC(T64, ZSTD(1)),
    social_customer String CODEC(ZSTD(1)),
    state Nullable(Int64) CODEC(T64, ZSTD(1)),
    tags Array(String) CODEC(ZSTD(1)),
    total_spent String CODEC(ZSTD(1)),
    total_spent_cents Nullable(Int64) CODEC(T64, ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    verified_email Nullable(Bool) CODEC(ZSTD(1)),
    normalized_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(normalized_at)
PARTITION BY toYYYYMM(updated_at)
ORDER BY (shop_id, customer_id, updated_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;
