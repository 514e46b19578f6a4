// Package redisstreams is a CloudEvents protocol binding for Redis Streams: one event is one stream entry.
//
// In binary mode each context attribute is a field with the prefix "ce_", datacontenttype is the field "content-type",
// and the data is the field "data", byte for byte. In structured mode "content-type" names an event format and "data"
// holds the encoded event. The id of the entry belongs to Redis and is not an attribute; receivers get it with
// [EntryID].
//
// There are two interfaces to one engine:
//
//   - [Protocol] implements the CloudEvents SDK's protocol.Sender, Receiver, Opener and Closer; use it with
//     cloudevents.NewClient.
//   - [Sender] and [Consumer] work on raw events and entries in batches, for programs that forward many events.
//
// # The Redis client
//
// Make it with [ClientOptions]. With go-redis' defaults, a command whose reply was lost is sent again, which adds an
// event to the stream twice. The constructors refuse a client that would do so. Single servers, Sentinel and Cluster
// work, over TCP, TLS and Unix sockets; a Ring does not. The client stays the caller's, who closes it last.
//
// # Sending
//
// A send returns when Redis has acknowledged the entry. Events that are sent at the same time share a round trip, and
// none waits for more to come. A send that fails with an error of Redis (OOM, READONLY) has written nothing. If no
// answer came, the entry may exist; [WithDedup] makes it safe to send the event again. [WithReplicas] and [WithFsync]
// delay the answer until the entry is that durable. [ErrNotDurable] says that the entry was added, but that its
// durability was not confirmed in time. Sending the event again with [WithDedup] waits for the confirmation again.
//
// # Receiving
//
// A [Consumer] is a member of a consumer group. Each entry goes to one member, as long as that member finishes it with
// [Delivery.Ack], or with [Message.Finish] and nil or a result that the SDK counts as ACK. After [Delivery.Release], an
// error that the handler returns, or the death of the program, the entry stays pending, and a member of the group gets
// it when its lease ends. Delivery is at least once: if an acknowledgement is lost, the entry is delivered again.
// Delivery.Attempt counts the deliveries.
//
// While [Consumer.Run] runs, a heartbeat keeps the entries in work leased, however long that takes. A member that was
// silent for longer than its lease ([WithLease]), because its host was frozen, may find that another one has taken its
// entries over; [Consumer.Held] tells. Start Run before reading, and run it once at a time; it may be run again.
// Acknowledgements are sent in batches and repeated until Redis answers. When Run ends, it sends the remaining ones and
// gives up what is still in work, so that other members get it at once.
//
// # Order
//
// A stream has one order, that of its entries, and [Consumer.ReceiveBatch] hands out new entries in it. Concurrent
// handlers, other members of the group and redelivered entries break that order. To keep the events of a key in order,
// use [WithMaxInFlight] of 1 and a single member, or spread the keys over streams with [PartitionStream].
//
// # Where a group begins
//
// A group that does not exist yet begins after the last entry, or where [WithStart] says: "0" is the oldest entry,
// [StartAt] a time. An existing group goes on where it was. If it disappears while a member runs (FLUSHALL, a failover
// that lost it), it is created again where that member was, and Hooks.GroupRecreated is called.
//
// # Entries that do not hold an event
//
// Any program can write anything into a stream. An entry that cannot be read is delivered all the same:
// [Delivery.Event] and [Message.Err] return an [*EntryError], which is [ErrMalformed], [ErrUnknownEncoding],
// [ErrUnknownFormat] or [ErrTooLarge]. Store it elsewhere and acknowledge it; otherwise it is delivered again and
// again. The SDK's client acknowledges such a message only with client.WithAckMalformedEvent. [WithLayout] reads
// entries of other programs as events; package layout has the layouts.
//
// # Errors of the connection
//
// Receiving never ends with an error: [Protocol.Receive] and [Consumer.ReceiveBatch] wait, with backoff, until Redis is
// back, log the beginning and the end of an outage, and return io.EOF when the context ends or the protocol is closed.
// After any other error the SDK's client would call again at once. Sending does not wait for Redis: it returns the
// error within a second, or within six if it waits for durability. [IsReply] tells errors of Redis from those of the
// network.
package redisstreams
