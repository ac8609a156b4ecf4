// Package schema holds what a webhook's data looks like on its way: the
// contracts (one YAML file per topic) that say how a body becomes columns, the
// tables that they imply, the encoding of a row in Kafka, and the migrations
// that create the tables in ClickHouse.
package schema
