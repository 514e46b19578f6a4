// Package gateway is the heart of Streamgate: events come in over HTTP ([Ingress]) and from sources ([Source]), are kept
// in Redis Streams, and are handed on to the sinks of subscriptions ([SubscriptionConfig]).
//
// Redis is the only buffer. An event is accepted when Redis has acknowledged it; it is acknowledged to Redis when the
// sink has taken it, or when it is stored as a dead letter. In between it is pending in the consumer group of its
// subscription, so that no death of a process loses it.
//
// [New] builds a [Gateway] from a validated configuration; [Gateway.Run] runs it.
package gateway
