package deadletter

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Bounds of the work on dead letters.
const (
	deadPage = 200    // entries of one read
	maxScan  = 20_000 // entries that one List looks at
)

// Errors of [Store].
var (
	// ErrNotFound: there is no dead letter with that id, or not any more.
	ErrNotFound = errors.New("there is no such dead letter")
	// ErrNotRedrivable: the dead letter does not say whose delivery failed, or it holds an entry that never was an
	// event.
	ErrNotRedrivable = errors.New("this dead letter cannot be delivered again")
	// ErrNotDeadLetters: the stream that is named as one of dead letters holds something else.
	ErrOtherStream = errors.New("no stream of dead letters")
)

// ConcernsOne reports whether an error of [Store] is about that dead letter alone, so that work on several
// can go on with the next.
func ConcernsOne(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotRedrivable) || errors.Is(err, state.ErrNoSubscription)
}

// Letter is a dead letter as operators see it.
type Letter struct {
	ID           string `json:"entry"` // of its entry in the stream of dead letters
	Stream       string `json:"stream,omitempty"`
	Subscription string `json:"subscription,omitempty"`
	Type         string `json:"type"`
	Source       string `json:"source"`
	EventID      string `json:"id"`
	Code         int    `json:"code"` // HTTP status of the last attempt; -1 without an answer
	Reason       string `json:"reason,omitempty"`
	Sink         string `json:"sink,omitempty"`
	Attempts     int    `json:"attempts,omitempty"`
	First        string `json:"first,omitempty"` // RFC 3339
	Last         string `json:"last,omitempty"`
	Redriven     int    `json:"redriven,omitempty"` // how often it has been delivered again before

	event rawevent.Event
}

// Event returns the dead letter as it is stored.
func (d *Letter) Event() *rawevent.Event { return &d.event }

// WithoutEvent returns what is known of the dead letter, to be kept without its event, which may be large.
func (d *Letter) WithoutEvent() Letter {
	known := *d
	known.event = rawevent.Event{}
	return known
}

// Stored returns when the dead letter was stored.
func (d *Letter) Stored() time.Time { return StoredAt(d.ID) }

// Filter chooses dead letters; the zero value means all.
type Filter struct {
	Subscription string   `json:"subscription,omitempty"`
	Code         string   `json:"code,omitempty"` // as in DeadLetter, "5xx" and the like, or "none" for no answer
	Type         string   `json:"type,omitempty"` // of the event; with * at the end, its beginning
	EventID      string   `json:"id,omitempty"`
	IDs          []string `json:"entries,omitempty"`
	After        string   `json:"after,omitempty"` // only what is behind this entry
	// Since and Until bound when a dead letter was stored; zero means no bound.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Validate returns what no dead letter can match, so that a typing error is not taken for "none found".
func (f *Filter) Validate() setting.Problems {
	var p setting.Problems
	if f.Code != "" && !regexp.MustCompile(`^(none|-1|[1-9]xx|[1-9][0-9]{2})$`).MatchString(f.Code) {
		p.Add("code", fmt.Sprintf("%q is not a status of a sink", f.Code), "write one like 404, 5xx for all of a class, or none for no answer")
	}
	if f.After != "" && !redisstreams.ValidID(f.After) {
		p.Add("after", fmt.Sprintf("%q is not a valid entry id", f.After), "write where the last list ended, like 1700000000000-0")
	}
	for _, id := range f.IDs {
		if !redisstreams.ValidID(id) {
			p.Add("entries", fmt.Sprintf("%q is not a valid entry id", id), "write ids as a list of dead letters shows them, like 1700000000000-0")
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		p.Add("until", fmt.Sprintf("%s is not later than since", f.Until.Format(time.RFC3339)), "write a later time")
	}
	return p
}

// IsEmpty reports whether the filter chooses all dead letters.
func (f *Filter) IsEmpty() bool {
	return f.Subscription+f.Code+f.Type+f.EventID+f.After == "" && len(f.IDs) == 0 && f.Since.IsZero() && f.Until.IsZero()
}

func (f *Filter) matches(d *Letter) bool {
	switch {
	case f.Subscription != "" && d.Subscription != f.Subscription, f.EventID != "" && d.EventID != f.EventID,
		!f.matchesCode(d.Code), len(f.IDs) > 0 && !slices.Contains(f.IDs, d.ID):
		return false
	}
	if prefix, isPrefix := strings.CutSuffix(f.Type, "*"); isPrefix {
		return strings.HasPrefix(d.Type, prefix)
	}
	return f.Type == "" || f.Type == d.Type
}

func (f *Filter) matchesCode(code int) bool {
	switch {
	case f.Code == "":
		return true
	case f.Code == "none":
		return code == sink.NoResponse
	case len(f.Code) == 3 && strings.HasSuffix(f.Code, "xx"):
		return strconv.Itoa(code/100) == f.Code[:1]
	default:
		return strconv.Itoa(code) == f.Code
	}
}

// Store is a stream of dead letters. It is safe for concurrent use.
type Store struct {
	client redis.UniversalClient
	stream string
}

// NewStore returns the dead letters in a stream; see [state.DeadLetterStream]. It does no I/O.
func NewStore(client redis.UniversalClient, stream string) *Store {
	return &Store{client: client, stream: stream}
}

// Each calls do for every dead letter that the filter chooses, oldest first, until do returns an error, which it
// returns.
func (d *Store) Each(ctx context.Context, f *Filter, do func(*Letter) error) error {
	for after := ""; ; {
		letters, next, err := d.List(ctx, f, after, deadPage)
		if err != nil {
			return err
		}
		for i := range letters {
			if err := do(&letters[i]); err != nil {
				return err
			}
		}
		if after = next; next == "" {
			return nil
		}
	}
}

// List returns up to limit dead letters behind the entry after ("" is where the filter begins), oldest first, and where
// to go on; "" means that there are no more. It looks at a bounded number of entries, so that it may return fewer, or
// none, and go on.
func (d *Store) List(ctx context.Context, f *Filter, after string, limit int) (list []Letter, next string, err error) {
	last := ""
	if !f.Until.IsZero() {
		last = redisstreams.StartAt(f.Until)
	}
	cursor := after
	if redisstreams.CompareIDs(f.After, cursor) > 0 {
		cursor = f.After
	}
	if since := redisstreams.StartAt(f.Since); !f.Since.IsZero() && redisstreams.CompareIDs(since, cursor) > 0 {
		cursor = since
	}
	if cursor == "" {
		cursor = "0"
	}
	for scanned := 0; scanned < maxScan; scanned += deadPage {
		entries, err := redisstreams.ReadAfter(ctx, d.client, d.stream, cursor, deadPage, -1)
		if err != nil {
			return nil, "", fmt.Errorf("read dead letters: %w", err)
		}
		for i := range entries {
			cursor = entries[i].ID
			if last != "" && redisstreams.CompareIDs(cursor, last) > 0 {
				return list, "", nil
			}
			if letter := deadLetterOf(&entries[i]); f.matches(&letter) {
				if list = append(list, letter); len(list) == limit {
					return list, cursor, nil
				}
			}
		}
		if len(entries) < deadPage {
			return list, "", nil
		}
	}
	return list, cursor, nil
}

// Get returns one dead letter.
func (d *Store) Get(ctx context.Context, id string) (Letter, error) {
	entries, err := redisstreams.ReadAfter(ctx, d.client, d.stream, redisstreams.PreviousID(id), 1, -1)
	if err != nil {
		return Letter{}, fmt.Errorf("read dead letter %s: %w", id, err)
	}
	if len(entries) == 0 || redisstreams.CompareIDs(entries[0].ID, id) != 0 {
		return Letter{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return deadLetterOf(&entries[0]), nil
}

func deadLetterOf(entry *redisstreams.Entry) Letter {
	event, err := entry.Event()
	if err != nil { // another program has written it
		event = MalformedEvent(entry)
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(attribute(&event, name))
		return n
	}
	reason := attribute(&event, attrDeadReason)
	if reason == "" {
		detail, _ := base64.StdEncoding.DecodeString(attribute(&event, attrErrorData))
		reason = strings.ToValidUTF8(string(detail), "\ufffd")
	}
	return Letter{
		ID: entry.ID, Stream: attribute(&event, attrDeadStream), Subscription: attribute(&event, attrDeadSubscription),
		Type: event.Type(), Source: event.Source(), EventID: event.ID(), Code: number(attrErrorCode),
		Reason: reason, Sink: attribute(&event, attrErrorDest),
		Attempts: number(attrDeadAttempts), First: attribute(&event, attrDeadFirst), Last: attribute(&event, attrDeadLast),
		Redriven: number(attrRedrive), event: event,
	}
}

// redriveScript moves a dead letter into an inbox, both or neither.
//
//	KEYS[1] dead letters, KEYS[2] inbox; ARGV[1] entry, ARGV[2...] fields of the event
//	returns nil if the dead letter is not there any more
//
// It is a script because another operator may move or discard it at the same time.
var redriveScript = redis.NewScript(`
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return false end
local id = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 2))
redis.call('XDEL', KEYS[1], ARGV[1])
return id`)

// Redrive puts the event of a dead letter into the inbox of the subscription whose delivery failed, and takes the dead
// letter away. The event then carries the attribute redrive, so that a second failure can be told from the first. It
// waits while the inbox is full. If the subscription does not exist any more, that is [state.ErrNoSubscription]. In a
// Cluster, if the dead letters are in another slot than the inbox, a crash between the two steps delivers the event and
// keeps the dead letter.
func (d *Store) Redrive(ctx context.Context, letter *Letter) error {
	if letter.Subscription == "" || letter.Stream == "" || letter.Type == typeMalformed {
		return fmt.Errorf("%w: %s", ErrNotRedrivable, letter.ID)
	}
	if err := state.CheckSubscription(ctx, d.client, letter.Stream, letter.Subscription); err != nil {
		return fmt.Errorf("redrive dead letter %s: %w", letter.ID, err)
	}
	inbox := state.InboxStream(letter.Stream, letter.Subscription)
	if err := state.AwaitInbox(ctx, d.client, inbox); err != nil {
		return err
	}
	event := revived(&letter.event)
	args := redisstreams.AppendFields([]any{letter.ID}, &event, nil)
	err := redriveScript.Run(ctx, d.client, []string{d.stream, inbox}, args...).Err()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.Nil):
		return fmt.Errorf("%w: %s", ErrNotFound, letter.ID)
	case !redisstreams.IsCrossSlot(err):
		return fmt.Errorf("redrive dead letter %s: %w", letter.ID, err)
	}
	if err := d.client.XAdd(ctx, &redis.XAddArgs{Stream: inbox, Values: args[1:]}).Err(); err != nil {
		return fmt.Errorf("redrive dead letter %s: %w", letter.ID, err)
	}
	return d.Discard(ctx, letter.ID)
}

// Discard deletes a dead letter.
func (d *Store) Discard(ctx context.Context, id string) error {
	n, err := d.client.XDel(ctx, d.stream, id).Result()
	if err != nil {
		return fmt.Errorf("discard dead letter %s: %w", id, err)
	}
	if n == 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return nil
}
