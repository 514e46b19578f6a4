// Package sink hands single events on: to an HTTP address, one by one or in batches, to another stream, or to a Pub/Sub
// channel. A [Sink] makes one attempt; what follows from its [Outcome] is decided by package delivery.
package sink
