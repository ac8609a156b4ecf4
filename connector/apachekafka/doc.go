// Package apachekafka starts Apache Kafka from its Maven artifacts, on loopback,
// for tests and development. It needs Linux, Java 17 or newer and Maven; what
// Maven fetches is kept in the user's cache directory.
//
// A cluster has one node or three, and each is broker and controller at once.
// Nobody is asked for a password, unless the settings say so.
//
// A record that was acknowledged outlives the kill of a node without a flush to
// disk: the kernel has it. Only the end of the machine could lose it.
package apachekafka
