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
// # The Redis client
//
// Make it with [ClientOptions]: with go-redis' defaults a lost reply is answered by sending the command again, which puts
// an event twice into the stream. The constructors refuse a client that would do so. Single servers, Sentinel and Cluster
// work, over TCP, TLS and Unix sockets; a Ring does not. The client stays the caller's, who closes it last.
//
// # Sending
//
// A send returns when Redis has acknowledged the entry. Events that are sent at the same time share a round trip, and
// nobody waits for more to come. A send that ends with an error of Redis (OOM, READONLY) has written nothing. One that
// ends because no answer came leaves that open: the entry may exist. [WithDedup] makes it safe to send again then.
// [WithReplicas] and [WithFsync] hold the answer back until the entry is as durable as that; [ErrNotDurable] says that it
// was added, and that nobody has confirmed in time that it is so durable. Sent again with [WithDedup], it is waited for again.
//
// # Receiving
//
// A [Consumer] is a member of a consumer group. Each entry goes to one member, as long as that finishes it: [Delivery.Ack],
// or [Message.Finish] with nil or with a result that the SDK counts as ACK. Anything else, [Delivery.Release] or an error
// that the handler returns, leaves the entry pending, and some member of the group gets it when its lease is over. So does
// the death of a program. Delivery is at least once: an acknowledgement may get lost, and then the entry comes again.
// Delivery.Attempt counts how often.
//
// While [Consumer.Run] runs, a heartbeat keeps what is in work leased, however long that takes. A member that was silent
// for longer than [WithLease] says, because its host was frozen, may find that another one has taken its entries over;
// [Consumer.Held] tells. Let one Run run at a time, and begin with it before reading; it may be run again. Acknowledgements are sent in batches and repeated until Redis answers. When Run ends it sends
// those that are left and gives up what is still in work, so that others get it at once.
//
// # Order
//
// A stream has one order, that of its entries, and [Consumer.ReceiveBatch] hands new entries out in it. Handlers that run
// at the same time, other members of the group and entries that come again break it. Who needs the order of a key takes
// [WithMaxInFlight] of 1 and one member, or spreads the keys over streams with [PartitionStream].
//
// # Where a group begins
//
// A group that does not exist yet begins behind the last entry, or where [WithStart] says: "0" is the oldest, [StartAt]
// a time. A group that exists goes on where it was. If it disappears while a member runs (FLUSHALL, a failover that lost
// it), it is made again where that member was, and Hooks.GroupRecreated is called.
//
// # Entries that are no events
//
// Anybody can write anything into a stream. What cannot be read is delivered all the same: [Delivery.Event] returns an
// [*EntryError], which is [ErrMalformed], [ErrUnknownEncoding], [ErrUnknownFormat] or [ErrTooLarge], and [Message.Err] does.
// Store it elsewhere and acknowledge it, or it comes again for ever. The SDK's client acknowledges such a message only
// with client.WithAckMalformedEvent. With [WithLayout], entries of other programs are read as events.
//
// # Errors of the connection
//
// Receiving never ends with an error: [Protocol.Receive] and [Consumer.ReceiveBatch] wait, with backoff, until Redis is
// back, log the beginning and the end of an outage, and return io.EOF when the context ends or the protocol is closed.
// The SDK's client would call again at once after any other error. Sending does not wait for Redis: it returns the error
// within a second, or within six where it waits for durability.
package redisstreams
