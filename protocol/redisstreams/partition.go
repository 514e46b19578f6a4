package redisstreams

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// PartitionStream returns the key of the partition that an event belongs to, where one logical stream is spread over
// several keys: "{stream:p}", p from 0 to partitions-1. Events with the same key get the same partition. The key is the
// event's partitionkey extension, else fallback where it is not empty, else source and id. The event is not changed.
// The braces put each partition into a Cluster slot of its own, together with all keys that carry the same tag.
//
// partitions must be at least 1 and the same for all writers: another number sends keys to other streams.
func PartitionStream(stream string, partitions int, event *rawevent.Event, fallback string) string {
	key, found := event.Attribute(attrPartitionKey)
	if !found {
		key = fallback
	}
	if key == "" {
		key = event.Source() + "\n" + event.ID()
	}
	// CRC-32 because the standard library of most languages has it, so that all writers agree.
	p := crc32.ChecksumIEEE([]byte(key)) % uint32(max(partitions, 1)) //nolint:gosec // no Cluster holds that many partitions
	return "{" + stream + ":" + strconv.FormatUint(uint64(p), 10) + "}"
}

// attrPartitionKey is the extension of the CloudEvents Partitioning extension.
const attrPartitionKey = "partitionkey"

// Key returns the name of a key beside a stream, in the stream's Cluster slot, so that one script may use both. It is
// "streamgate:{STREAM}:what"; for a stream with a hash tag of its own it is "streamgate:{TAG}:STREAM:what", so that
// streams with the same tag do not share keys.
func Key(stream, what string) string {
	tag := hashTag(stream)
	if _, _, tagged := ownTag(stream); tagged {
		return "streamgate:" + tag + ":" + stream + ":" + what
	}
	return "streamgate:" + tag + ":" + what
}

// hashTag returns "{tag}" such that a key with it is in the slot of the stream: Redis hashes the text between the first
// "{" and the next "}" if it is not empty, else the whole name.
func hashTag(stream string) string {
	if open, tag, ok := ownTag(stream); ok {
		return stream[open : open+len(tag)+2]
	}
	return "{" + stream + "}"
}

func ownTag(name string) (open int, tag string, ok bool) {
	before, after, opened := strings.Cut(name, "{")
	tag, _, closed := strings.Cut(after, "}")
	return len(before), tag, opened && closed && tag != ""
}

// CheckStreamName refuses names for which a key in the same Cluster slot is impossible: those with braces that do not
// form a hash tag. A stream of such a name can be read and written, but not with features that need keys
// (deduplication).
func CheckStreamName(name string) error {
	switch _, _, tagged := ownTag(name); {
	case name == "":
		return fmt.Errorf("redisstreams: the stream name is empty")
	case !tagged && strings.ContainsAny(name, "{}"):
		return fmt.Errorf("redisstreams: the braces in the stream name %q do not form a hash tag, so no other key can "+
			"share its slot; remove them or write {tag}", name)
	}
	return nil
}
