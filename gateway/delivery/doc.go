// Package delivery hands the events of a stream to the sinks of its subscriptions, at least once each. A [Subscription]
// is one consumer group; what a replica has of it in work is a session with these parts, each in the file of its name:
//
//	dispatcher   reads no more entries than there are free workers, and filters them
//	worker       makes one attempt to deliver and settles what follows from it
//	retryqueue   holds the ids of events that wait for their next attempt
//	keyqueue     with order byKey, holds the ids of events that wait for others of their key
//	circuit      tells an outage of the sink from the failure of an event
//	deadletter   stores what cannot be delivered
//	inbox        delivers what was put in for one subscription alone: redriven dead letters, and replays
//
// An entry is acknowledged after its effect: the sink has the event, its dead letter is stored, or no filter wants it.
// A kill -9 before that leaves it pending in Redis, and another replica takes it over when its lease ends.
package delivery
