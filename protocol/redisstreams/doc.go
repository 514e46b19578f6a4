// Package redisstreams is a CloudEvents protocol binding for Redis Streams: one event is one stream entry.
//
// In binary mode each context attribute is a field with the prefix "ce_", datacontenttype is the field "content-type",
// and the data is the field "data", byte for byte. In structured mode "content-type" names an event format and "data"
// holds the encoded event. The id of the entry belongs to Redis and is no attribute; receivers expose it with [EntryID].
//
// There are two faces over one engine:
//
//   - [Protocol] implements the CloudEvents SDK's protocol.Sender, Receiver, Opener and Closer; use it with
//     cloudevents.NewClient.
//   - [Sender] and [Consumer] work on raw events and entries in batches, for programs that pass many events on.
//
// Delivery is at least once. A [Consumer] is a member of a consumer group: it keeps the entries in work leased to itself
// by a heartbeat, takes over those of members that have died, and acknowledges in batches.
//
// Make the Redis client with [ClientOptions]: with go-redis' defaults a lost reply is answered by sending the command
// again, which puts an event twice into the stream.
package redisstreams
