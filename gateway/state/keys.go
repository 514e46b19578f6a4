package state

import (
	"strconv"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// The keys of the gateway are made here; those of the binding (deduplication) in package redisstreams. What belongs to
// a stream carries the stream's hash tag, so that scripts find all of it in one slot of a Cluster. The keys of a source
// carry the tag of the stream that it publishes to, because publishing and saving the checkpoint are one step.

// streamKey returns the key of something that belongs to a stream.
func streamKey(stream, what string) string { return redisstreams.Key(stream, what) }

// DeadLetterStream is the dead-letter stream of a subscription that names none.
func DeadLetterStream(stream string) string { return streamKey(stream, "deadletters") }

// PositionsKey is a hash: for each subscription the id up to which it has finished with everything.
func PositionsKey(stream string) string { return streamKey(stream, "positions") }

// UnseenKey is a hash: for each subscription how much was reported as removed before it was delivered.
func UnseenKey(stream string) string { return streamKey(stream, "unseen") }

// DeletedKey is there while replicas may notice that the stream was deleted.
func DeletedKey(stream, subscription string) string {
	return streamKey(stream, "subscription:"+subscription+":deleted")
}

// SubscriptionsKey is a key of what the subscriptions API keeps: the subscriptions, what was deleted, and a version.
func SubscriptionsKey(what string) string { return streamKey("subscriptions", what) }

// GroupName is the consumer group of a subscription.
func GroupName(subscription string) string { return "streamgate:" + subscription }

// LeaseKey is the lease of the replica that runs a source.
func LeaseKey(stream, source string) string { return streamKey(stream, "source:"+source+":lease") }

// StepKey holds the id of the last step that a source published, so that a lost reply repeats nothing.
func StepKey(stream, source string) string { return streamKey(stream, "source:"+source+":step") }

// CheckpointKey is a hash of the parts of the checkpoint.
func CheckpointKey(stream, source string) string {
	return streamKey(stream, "source:"+source+":checkpoint")
}

// HealthKey is whether a source can do its job, in JSON, as the replica that runs it last knew.
func HealthKey(stream, source string) string { return streamKey(stream, "source:"+source+":health") }

// CommandsKey is a hash of what operators ask of a source.
func CommandsKey(stream, source string) string { return streamKey(stream, "source:"+source+":orders") }

// SeenKey is the hash that says how the seen items of a source are laid out, and how many there are.
func SeenKey(stream, source string) string { return streamKey(stream, "source:"+source+":memory") }

// BucketKey is one of the hashes of those items.
func BucketKey(stream, source string, bucket uint32) string {
	return SeenKey(stream, source) + ":" + strconv.FormatUint(uint64(bucket), 36)
}

// OrderLeaseKey is the lease of the replica that delivers an ordered subscription.
func OrderLeaseKey(stream, subscription string) string {
	return streamKey(stream, "subscription:"+subscription+":lease")
}

// RetriesKey is the hash of the retries that wait in a subscription; see [Retries].
func RetriesKey(stream, subscription string) string {
	return streamKey(stream, "subscription:"+subscription+":retries")
}

// InboxRetriesKey is the same for the inbox of a subscription.
func InboxRetriesKey(stream, subscription string) string {
	return streamKey(stream, "inbox:"+subscription+":retries")
}

// PausesKey is the hash of the pauses of the sinks of a stream's subscriptions; see [Pauses].
func PausesKey(stream string) string { return streamKey(stream, "pauses") }

// PauseFields are the fields of a subscription in that hash.
func PauseFields(subscription string) []string {
	return []string{askedField + subscription, openField + subscription}
}

// InboxStream is where events for one subscription alone are put: dead letters that are tried again, and replays.
func InboxStream(stream, subscription string) string {
	return streamKey(stream, "inbox:"+subscription)
}

// InboxLeaseKey is the lease of the replica that serves an inbox.
func InboxLeaseKey(stream, subscription string) string {
	return streamKey(stream, "inbox:"+subscription+":lease")
}

// ReplaysKey is the hash that says how far each replay of a stream has come.
func ReplaysKey(stream string) string { return streamKey(stream, "replays") }
