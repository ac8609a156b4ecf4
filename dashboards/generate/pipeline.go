package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// pipeline watches the connector itself, with the metrics that Prometheus collects.
func pipeline() board {
	quantiles := func(metric, by string) []variants.Dataquery {
		of := func(refID, legend, q string) variants.Dataquery {
			return promQuery(refID, legend+by, "histogram_quantile("+q+", sum by (le) (rate("+metric+"[$__rate_interval])))")
		}
		return []variants.Dataquery{of("A", "50 %", "0.5"), of("B", "95 %", "0.95"), of("C", "99 %", "0.99")}
	}
	return board{
		uid:         "pipeline",
		title:       "Pipeline",
		description: "The connector at work: webhooks received, published to Kafka and delivered to ClickHouse, from its Prometheus metrics.",
		tags:        []string{"pipeline"},
		from:        "now-6h",
		variables:   []dashboard.VariableModel{},
		annotations: []dashboard.AnnotationQuery{},
		rows: [][]dashboard.Panel{
			{
				number(4, "Webhooks", "Requests answered 200 per second, the average of the last 5 minutes, resends too.", rare, green, promNow("webhooks",
					`sum(rate(loyaltyhouse_webhook_requests_total{status="200"}[5m]))`)),
				alarm(4, "Answered 503", "Requests answered 503 per second, the average of the last 5 minutes. SHOPLINE sends them again.", rare, 0.001, 1, promNow("503",
					`sum(rate(loyaltyhouse_webhook_requests_total{status="503"}[5m]))`)),
				alarm(4, "Refused signatures", "Requests answered 401 per second, the average of the last 5 minutes: a wrong secret, or somebody else.", rare, 0.001, 1, promNow("401",
					`sum(rate(loyaltyhouse_webhook_requests_total{status="401"}[5m]))`)),
				alarm(4, "Not delivered", "Records in Kafka that the sinks have not committed, as of now; – where no sink tells.", lag, 10_000, 1_000_000, promNow("records",
					`sum(loyaltyhouse_consumer_lag_records)`)),
				alarm(4, "Oldest undelivered", "How much older the oldest record is that a sink has not committed than its batches may wait to fill, as of now; – where no sink tells.", lateness, 60, 300, promNow("age",
					`clamp_min(max(loyaltyhouse_consumer_oldest_undelivered_seconds - on (sink) group_left () max by (sink) (loyaltyhouse_sink_batch_max_age_seconds)), 0)`)),
				alarm(4, "Out of reach", "Connectors that Prometheus cannot reach, as of now.", whole, 1, 1, promNow("down",
					`count(up{job="connector"} == 0) or vector(0)`)),
			},
			{
				stacked(12, 8, "Requests by status", "Requests answered per second, by HTTP status, resends too. 401 is a wrong signature, 503 asks SHOPLINE to send again.", perSec, "",
					promQuery("A", "{{status}}", `sum by (status) (rate(loyaltyhouse_webhook_requests_total[$__rate_interval]))`)),
				stacked(12, 8, "Requests by topic", "Requests answered 200 per second, by the contract's topic, resends too; unknown where no contract names the webhook.", perSec, "",
					promQuery("A", "{{topic}}", `sum by (topic) (rate(loyaltyhouse_webhook_requests_total{status="200"}[$__rate_interval]))`)),
			},
			{
				lines(8, 8, "Time to answer", "Quantiles of the time from a request's header to its answer. SHOPLINE gives up at 5 s.", fine, "",
					quantiles("loyaltyhouse_webhook_request_duration_seconds_bucket", "")...),
				lines(8, 8, "In flight", "Requests being worked on, by process. The configuration's receiver.max_in_flight is the limit.", whole, "",
					promQuery("A", "{{instance}}", `loyaltyhouse_webhook_in_flight_requests`)),
				stacked(8, 8, "Became dead letters", "Signed bodies per second that could not become a row, by reason, and bodies whose store_id is not the header's shop.", perSec, "",
					promQuery("A", "{{reason}}", `sum by (reason) (rate(loyaltyhouse_webhook_rejects_total[$__rate_interval]))`),
					promQuery("B", "another shop in the header", `sum(rate(loyaltyhouse_webhook_store_mismatches_total[$__rate_interval]))`)),
			},
			{
				lines(8, 8, "Time to publish", "Quantiles of the time until Kafka acknowledged a message, or it was given up.", fine, "",
					quantiles("loyaltyhouse_kafka_publish_duration_seconds_bucket", "")...),
				stacked(8, 8, "Publish errors", "Messages per second that Kafka did not acknowledge, by topic and reason. Their webhooks were answered 503.", perSec, "",
					promQuery("A", "{{topic}} {{reason}}", `sum by (topic, reason) (rate(loyaltyhouse_kafka_publish_errors_total[$__rate_interval]))`)),
				lines(8, 8, "Waiting to be published", "Bytes of messages that wait to be sent or acknowledged, by process. The configuration's kafka.producer.queue_bytes is the limit.", size, "",
					promQuery("A", "{{instance}}", `loyaltyhouse_kafka_publish_queue_bytes`)),
			},
			{
				lines(8, 8, "Messages per publish", "Messages in one acknowledged batch, on average: more when there is more to do.", perSec, "",
					promQuery("A", "messages", `sum(rate(loyaltyhouse_kafka_publish_batch_messages_sum[$__rate_interval])) / sum(rate(loyaltyhouse_kafka_publish_batch_messages_count[$__rate_interval]))`)),
				lines(8, 8, "Not delivered, by topic", "Records in Kafka that a sink has not committed, as of its latest fetch.", lag, "",
					promQuery("A", "{{sink}} {{topic}}", `sum by (sink, topic) (loyaltyhouse_consumer_lag_records)`)),
				lines(8, 8, "Oldest undelivered, by topic", "Age of the oldest record that a sink has not committed, 0 without one. It must stay far below Kafka's retention.", lateness, "",
					promQuery("A", "{{sink}} {{topic}}", `max by (sink, topic) (loyaltyhouse_consumer_oldest_undelivered_seconds)`)),
			},
			{
				stacked(8, 8, "Rows stored", "Rows per second that a sink has durably stored, by topic.", perSec, "",
					promQuery("A", "{{sink}} {{topic}}", `sum by (sink, topic) (rate(loyaltyhouse_sink_rows_total[$__rate_interval]))`)),
				lines(8, 8, "Rows per batch", "Quantiles of the rows that one batch holds.", perSec, "",
					quantiles("loyaltyhouse_sink_batch_rows_bucket", "")...),
				lines(8, 8, "Time to write", "Quantiles of the time until a batch was durably stored, its retries included.", fine, "",
					quantiles("loyaltyhouse_sink_write_duration_seconds_bucket", "")...),
			},
			{
				stacked(8, 8, "Write errors", "Failed writes per second. Transient ones are tried again for ever, permanent ones end in dead letters.", perSec, "",
					promQuery("A", "{{sink}} {{kind}}", `sum by (sink, kind) (rate(loyaltyhouse_sink_write_errors_total[$__rate_interval]))`)),
				stacked(8, 8, "Refused by a sink", "Rows per second that a sink will never accept, by topic and reason.", perSec, "",
					promQuery("A", "{{sink}} {{topic}} {{reason}}", `sum by (sink, topic, reason) (rate(loyaltyhouse_sink_dead_letters_total[$__rate_interval]))`)),
				lines(8, 8, "Consumer groups", "Generations joined, and failed attempts to join, per second, and failed fetches. A rebalance without a restart is to be looked at.", perSec, "",
					promQuery("A", "rebalances {{group}}", `sum by (group) (rate(loyaltyhouse_kafka_rebalances_total[$__rate_interval]))`),
					promQuery("B", "errors {{group}}", `sum by (group) (rate(loyaltyhouse_kafka_group_errors_total[$__rate_interval]))`),
					promQuery("C", "fetch errors {{topic}}", `sum by (topic) (rate(loyaltyhouse_kafka_fetch_errors_total[$__rate_interval]))`)),
			},
			{
				alarm(4, "Rows missing", "Rows that were missing after a repeated batch and were written again, since the processes started.", whole, 1, 1000, promNow("rows",
					`sum(loyaltyhouse_sink_missing_rows_total) or vector(0)`)),
				alarm(4, "Rows doubled", "Rows that are known to be stored twice, since the processes started. The views collapse them.", whole, 1, 1000, promNow("rows",
					`sum(loyaltyhouse_sink_doubled_rows_total) or vector(0)`)),
				alarm(4, "Ranges changed", "Topics, or ranges under way when a process died, that are not in Kafka as they were, since the processes started.", whole, 1, 1, promNow("ranges",
					`sum(loyaltyhouse_sink_changed_ranges_total) or vector(0)`)),
				alarm(4, "Contracts changed", "Ranges under way when a process died that were written again under another contract, since the processes started.", whole, 1, 1000, promNow("ranges",
					`sum(loyaltyhouse_sink_changed_contracts_total) or vector(0)`)),
				alarm(4, "Offsets lost", "Times that the next record was not in Kafka any more, since the processes started: records may have been deleted before they were delivered.", whole, 1, 1, promNow("resets",
					`sum(loyaltyhouse_kafka_offset_resets_total) or vector(0)`)),
				number(4, "Builds", "Different versions that run now. More than one outside of an upgrade is to be looked at.", whole, blue, promNow("versions",
					`count(count by (version) (loyaltyhouse_build_info))`)),
			},
			{
				alarm(12, "Configurations refused", "Processes whose last reload of the configuration was refused, as of now: they go on with the one before.", whole, 1, 1, promNow("processes",
					`count(loyaltyhouse_config_last_reload_successful == 0) or vector(0)`)),
				number(12, "Configurations read again", "Reloads of the configuration since the processes started, those that were refused too.", whole, blue, promNow("reloads",
					`sum(loyaltyhouse_config_reloads_total) or vector(0)`)),
			},
			{
				lines(8, 8, "Memory", "Memory that each process has from the system, as the kernel counts it.", size, "",
					promQuery("A", "{{instance}}", `process_resident_memory_bytes{job="connector"}`)),
				lines(8, 8, "Go heap", "Bytes of live and not yet collected objects, by process.", size, "",
					promQuery("A", "{{instance}}", `go_memstats_heap_alloc_bytes{job="connector"}`)),
				lines(8, 8, "Goroutines", "Goroutines, by process. A number that only grows is a leak.", whole, "",
					promQuery("A", "{{instance}}", `go_goroutines{job="connector"}`)),
			},
		},
	}
}
