// Package deliver carries records from Kafka into a sink: it fills a batch from
// one partition, has the sink write it, and only then commits (invariant 2,
// commit last). A row that the sink will never accept is isolated and goes to
// the dead letters, while its neighbours are stored.
//
// Each sink has a Deliverer of its own, with its own consumer group (invariant
// 5, one slow sink stops only itself).
package deliver
