package redisstreams

import (
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Beginnings of error replies that programs over this package branch on, for [IsReply].
const (
	ReplyBusyGroup = "BUSYGROUP"           // XGROUP CREATE: the group exists
	ReplyNoGroup   = "NOGROUP"             // the group or the stream does not exist
	ReplyNoKey     = "ERR no such key"     // XINFO: the stream does not exist
	ReplyOOM       = "OOM"                 // maxmemory is reached; nothing was written
	replyNoScript  = "NOSCRIPT"            // EVALSHA: the server does not know the script, so nothing ran
	replyUnblocked = "UNBLOCKED"           // the stream of a blocked read was deleted or moved to another node
	replySyntax    = "ERR syntax error"    // an option that the server does not support
	replyNoCommand = "ERR unknown command" // a command that the server does not support
	replyNoAOF     = "ERR WAITAOF cannot be used when numlocal is set"
)

// IsReply reports whether err is an error reply of Redis, as opposed to a network error or a timeout: the connection
// works and the command had no effect. With prefixes, it also requires that the reply begins with one of them, like
// [ReplyNoGroup] or any other text. It sees through wrapped errors; redis.Nil counts as a reply.
func IsReply(err error, prefixes ...string) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	text := reply.Error()
	return len(prefixes) == 0 ||
		slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

// IsCrossSlot reports whether a command was refused because its keys are in different slots of a Cluster, by the server
// or by go-redis before it was sent. Nothing was done.
func IsCrossSlot(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "CROSSSLOT") || strings.Contains(err.Error(), "same slot"))
}

// replyCode returns the first word of an error reply, like NOGROUP, or "" if err is not a reply of Redis.
func replyCode(err error) string {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return ""
	}
	code, _, _ := strings.Cut(reply.Error(), " ")
	return code
}
