// Package gateway wires a CloudEvents gateway together: events come in over HTTP ([ingress.Handler]) and from sources
// ([source.Source]), are kept in Redis Streams ([stream.Publisher]), and are handed on to the sinks of subscriptions
// ([delivery.Subscription]). The parts have packages of their own below; here are the [Gateway] with its lifecycle, the
// configuration as a whole, the registry of subscriptions, and the status of everything.
//
// Redis is the only buffer. An event is accepted when Redis has acknowledged it; it is acknowledged to Redis when the
// sink has taken it, or when it is stored as a dead letter. In between it is pending in the consumer group of its
// subscription, so that no death of a process loses it.
//
// [New] builds a [Gateway] from a validated configuration; [Gateway.Run] runs it.
package gateway
