// Command connector brings a SHOPLINE merchant's loyalty webhooks into
// ClickHouse and, where configured, to other destinations. One webhook takes one way through the code, and never turns back:
//
//	HTTP POST
//	  connector/webhook    limit, verify the raw body, answer
//	  connector/normalize  contract + body -> one flat row, or a reject
//	  connector/kafka      publish the row and the raw body, wait for all acks
//	      -- Kafka --
//	  connector/deliver    one consumer group per sink: fill a batch, write it, commit
//	  sinks                try again; choose topics, columns and rows
//	  sinks/<kind>         write one batch
//	      -- ClickHouse, files, PostgreSQL, another service --
//
// These invariants hold. The code names an invariant's number where it keeps it.
//
//  1. Signed means kept. A webhook is answered 200 only after Kafka has
//     acknowledged it on all in-sync replicas. A body with a valid signature is
//     never answered with a 4xx: what cannot become a row becomes a dead letter.
//  2. Commit last. An offset is committed only when its sink, or the dead
//     letters, durably hold the record.
//  3. Same event, same row. event_id is a 128-bit hash of the canonical form
//     (RFC 8785) of the signed body, and of nothing else: not a header, not the
//     contract. Resends, copies and replays collapse, and raw_webhooks keeps
//     every delivery.
//  4. Same range, same token. A batch is a contiguous offset range of one
//     partition, and writing it twice stores it once.
//  5. One slow sink stops only itself. Each sink has its own consumer group,
//     batches, retries and dead letters.
//  6. Shutdown follows the data: stop accepting, answer what is in flight, flush
//     the producer, finish or abandon the last batch, commit, close the sinks;
//     within a bounded time.
package main
