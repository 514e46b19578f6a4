package gateway

import (
	"strconv"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Every name of a key in Redis is made here. What belongs to a stream carries the stream's hash tag, so that scripts find
// all of it in one slot of a Cluster (DESIGN section 8).

// streamKey returns the key of something that belongs to a stream.
func streamKey(stream, what string) string { return redisstreams.Key(stream, what) }

// DeadLetterStream is the dead-letter stream of a subscription that names none.
func DeadLetterStream(stream string) string { return streamKey(stream, "deadletters") }

// positionsKey is a hash: for each subscription the id up to which it is done with everything.
func positionsKey(stream string) string { return streamKey(stream, "positions") }

// unseenKey is a hash: for each subscription how much was reported as removed before it was delivered.
func unseenKey(stream string) string { return streamKey(stream, "unseen") }

// deletedKey is there while replicas may notice that the stream was deleted.
func deletedKey(stream, subscription string) string {
	return streamKey(stream, "subscription:"+subscription+":deleted")
}

// SubscriptionsKey is a key of what the subscriptions API keeps: the subscriptions, what was deleted, and a version.
func SubscriptionsKey(what string) string { return streamKey("subscriptions", what) }

// groupName is the consumer group of a subscription.
func groupName(subscription string) string { return "streamgate:" + subscription }

// The keys of a source carry the tag of the stream that it publishes to, because publishing and the checkpoint are one
// step.
func leaseKey(stream, source string) string { return streamKey(stream, "source:"+source+":lease") }
func stepKey(stream, source string) string  { return streamKey(stream, "source:"+source+":step") }

// checkpointKey is a hash of the parts of the checkpoint.
func checkpointKey(stream, source string) string {
	return streamKey(stream, "source:"+source+":checkpoint")
}

// commandsKey is a hash of what operators ask of a source.
func commandsKey(stream, source string) string { return streamKey(stream, "source:"+source+":orders") }

// seenKey is the hash that says how the seen items of a source are laid out, and how many there are.
func seenKey(stream, source string) string { return streamKey(stream, "source:"+source+":memory") }

// bucketKey is one of the hashes of those items.
func bucketKey(stream, source string, bucket uint32) string {
	return seenKey(stream, source) + ":" + strconv.FormatUint(uint64(bucket), 36)
}

// orderKey is the lease of the replica that delivers an ordered subscription.
func orderKey(stream, subscription string) string {
	return streamKey(stream, "subscription:"+subscription+":lease")
}

// InboxStream is where events for one subscription alone are put: dead letters that are tried again, and replays.
func InboxStream(stream, subscription string) string {
	return streamKey(stream, "inbox:"+subscription)
}

// inboxLeaseKey is the lease of the replica that serves an inbox.
func inboxLeaseKey(stream, subscription string) string {
	return streamKey(stream, "inbox:"+subscription+":lease")
}

// replaysKey is the hash that says how far each replay of a stream has come.
func replaysKey(stream string) string { return streamKey(stream, "replays") }
