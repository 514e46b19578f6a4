package redisstreams

import (
	"context"
	"log/slog"
	"time"
)

// Hooks receive what an operator wants to count. Each may be nil; they must not block.
type Hooks struct {
	// Trimmed is called with the ids of entries that were removed from the stream before they were acknowledged.
	Trimmed func(ids []string)
	// GroupRecreated is called when the consumer group had disappeared and was created again at position.
	GroupRecreated func(position string)
	// Reclaimed is called with the number of entries taken over from consumers that had died.
	Reclaimed func(n int)
}

// ConsumerOption configures a [Consumer].
type ConsumerOption func(*consumerOptions)

type consumerOptions struct {
	name     string
	start    string
	lease    time.Duration
	maxEntry int
	layout   Layout // nil: the binding of this package
	hub      *Hub
	fence    fence
	own      bool // attempts are the caller's to count
	log      *slog.Logger
	hooks    Hooks
	onLost   func(ctx context.Context, position string) (string, error)
}

const defaultLease = 30 * time.Second

// WithLease sets how long an entry stays with a silent member; default 30 s, at least 100 ms. After that, other members
// of the group take it over.
func WithLease(d time.Duration) ConsumerOption {
	return func(o *consumerOptions) { o.lease = max(d, 100*time.Millisecond) }
}

// WithStart sets where a group that does not exist yet begins: "$" (entries added from now on, the default), "0" (all
// entries), or an entry id, after which it begins. See [StartAt] for a time.
func WithStart(id string) ConsumerOption {
	return func(o *consumerOptions) { o.start = id }
}

// WithConsumerName names the member; default is a random name, which is right unless a name is needed elsewhere. Two
// members that live at the same time must never share a name.
func WithConsumerName(name string) ConsumerOption {
	return func(o *consumerOptions) { o.name = name }
}

// WithConsumerLogger sets the logger; default is none.
func WithConsumerLogger(log *slog.Logger) ConsumerOption {
	return func(o *consumerOptions) { o.log = log }
}

// WithHooks sets the hooks.
func WithHooks(h Hooks) ConsumerOption {
	return func(o *consumerOptions) { o.hooks = h }
}

// WithMaxEntryBytes limits the size of an entry, all of its names and values together; default 32 MiB. A larger one is
// handed out without its fields, and its Event returns [ErrTooLarge].
func WithMaxEntryBytes(n int) ConsumerOption {
	return func(o *consumerOptions) { o.maxEntry = max(n, 1) }
}

// WithLayout reads entries that another program wrote; default is the binding of this package alone. Package layout has
// layouts of several programs.
func WithLayout(l Layout) ConsumerOption {
	return func(o *consumerOptions) { o.layout = l }
}

// WithFence lets the member read only while the value of a key, in the stream's slot, is the token. It is for a member
// that must be the only one and holds a lease for that. It requires [WithHub].
func WithFence(key, token string) ConsumerOption {
	return func(o *consumerOptions) { o.fence = fence{key, token} }
}

// WithOwnAttempts is for a caller that counts attempts itself: after the first reading, nothing changes the delivery
// count but [Consumer.Recount], neither a take-over from another member nor Redeliver. A member that dies before it has
// tried an entry would otherwise use up one of its attempts. XREADGROUP CLAIM is not used, because it always counts.
func WithOwnAttempts() ConsumerOption {
	return func(o *consumerOptions) { o.own = true }
}

// WithHub makes a consumer read through a hub of its stream, for programs with many groups on one stream.
func WithHub(h *Hub) ConsumerOption {
	return func(o *consumerOptions) { o.hub = h }
}

// WithLostGroup sets a function that decides where a group goes on that does not exist, although it may have existed. f
// receives the position up to which this member has read, "" if it has not read yet. It returns the entry id after
// which the group goes on, "$" for entries added from now on, or "" if the group is new and begins at [WithStart]. If
// it returns an error, the group is not created, and f is called again, with backoff; [ErrGroupLost] is not logged by
// each part of the consumer that waits for the group. f must be safe for concurrent use and respect its context.
//
// By default a lost group goes on at the position of this member, which is known only as long as the member runs. If
// the stream has begun again with lower ids, the group begins at its beginning.
func WithLostGroup(f func(ctx context.Context, position string) (string, error)) ConsumerOption {
	return func(o *consumerOptions) { o.onLost = f }
}
