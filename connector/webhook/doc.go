// Package webhook is the HTTP receiver: it limits what comes in, verifies the
// signature over the raw body, has the body normalized, and answers 200 only
// when the buffer behind it holds what the body became (invariant 1, signed
// means kept). It knows HTTP and nothing of Kafka.
package webhook
