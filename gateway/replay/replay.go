package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// attrReplay marks an event that is delivered again by a replay; its value is the replay's name.
const attrReplay = "replay"

// replayBatch is how many events one step of a replay puts into the inbox at most; with a rate, what it allows in a
// second, so that they do not come in bursts.
const replayBatch = 100

// ErrRunning is returned when another run has moved the cursor of the replay in the meantime.
var ErrRunning = errors.New("another run of this replay is in progress")

// Replay delivers what is in a stream to one subscription once more, through its inbox: the position of its group is
// not touched, and no other subscription gets anything.
type Replay struct {
	Stream       string
	Subscription string
	// From and To bound the entries: From itself is left out, To is not. As in startFrom they are entry ids, times or
	// earliest; an empty To means the end of the stream as of now.
	From, To string
	Filters  []filter.Config
	Rate     float64 // events a second; 0 is unlimited
	DryRun   bool    // count, and put nothing into the inbox
	Restart  bool    // forget how far an interrupted run came
}

// Progress is how far a replay has come.
type Progress struct {
	Looked, Replayed, Skipped int     // entries; skipped are those that hold no event
	Done                      float64 // 0 to 1, by the time that has passed between From and To
	Cursor                    string  // the entry that was looked at last
	Resumed                   bool    // it goes on where an earlier run was interrupted
}

// Name identifies a replay: the same one has the same name, so that it goes on where it was interrupted.
func (r *Replay) Name() string {
	filters, _ := json.Marshal(r.Filters) // maps of strings can always be encoded
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%s\n%s", r.Stream, r.Subscription, r.From, r.To, filters))
	return hex.EncodeToString(sum[:6])
}

// replayScript puts events into an inbox and notes how far the replay is, in one step, so that it neither repeats nor
// leaves out anything after a crash.
//
//	KEYS[1] inbox, KEYS[2] hash of replays; ARGV[1] name, ARGV[2] cursor before, ARGV[3] cursor after; then for each event
//	the number of its fields' names and values, and these
//	returns nil if the cursor is another one
var replayScript = redis.NewScript(`
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then return false end
local at = 4
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 1, at + n))
  at = at + n + 1
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1`)

// replayRun is a replay under way.
type replayRun struct {
	*Replay
	client   redis.UniversalClient
	sender   *redisstreams.Sender // knows how an entry is written
	filter   *filter.Filter
	limiter  *rate.Limiter
	batch    int
	saved    string // the cursor in Redis
	from, to string
	Progress
}

// Run replays, and calls progress after every step. Where there is no such subscription, that is
// [state.ErrNoSubscription]. It
// returns when To is reached, or with ctx's error; then the same
// replay goes on from there when it is run again.
func (r *Replay) Run(ctx context.Context, client redis.UniversalClient, progress func(Progress)) error {
	run, err := r.begin(ctx, client)
	if err != nil {
		return err
	}
	for {
		entries, err := redisstreams.ReadAfter(ctx, client, r.Stream, run.Cursor, run.batch, -1)
		if err != nil {
			return fmt.Errorf("replay stream %q: %w", r.Stream, err)
		}
		done, err := run.step(ctx, entries)
		if err != nil {
			return err
		}
		progress(run.Progress)
		if done {
			break
		}
	}
	if r.DryRun {
		return nil
	}
	return client.HDel(ctx, state.ReplaysKey(r.Stream), r.Name()).Err()
}

func (r *Replay) begin(ctx context.Context, client redis.UniversalClient) (*replayRun, error) {
	sender, err := redisstreams.NewSender(client, state.InboxStream(r.Stream, r.Subscription))
	if err != nil {
		return nil, err
	}
	filter, err := filter.Compile(r.Filters, nil)
	if err != nil {
		return nil, err
	}
	run := &replayRun{Replay: r, client: client, sender: sender, filter: filter, batch: replayBatch}
	if r.Rate > 0 {
		run.batch = max(1, min(replayBatch, int(r.Rate)))
		run.limiter = rate.NewLimiter(rate.Limit(r.Rate), run.batch)
	}
	if run.from, err = state.StartPosition(r.From); err != nil || run.from == "$" {
		return nil, fmt.Errorf("from: %q is %w to begin at; %s", r.From, state.ErrPosition, state.PositionRemedy)
	}
	if err = state.CheckSubscription(ctx, client, r.Stream, r.Subscription); err != nil {
		return nil, err
	}
	if run.to, err = endOf(ctx, client, r.Stream, r.To); err != nil {
		return nil, err
	}
	run.Cursor = run.from
	if r.DryRun {
		return run, nil
	}
	if r.Restart {
		err = client.HDel(ctx, state.ReplaysKey(r.Stream), r.Name()).Err()
	} else {
		run.saved, err = client.HGet(ctx, state.ReplaysKey(r.Stream), r.Name()).Result()
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("look how far the replay is: %w", err)
	}
	if run.saved != "" {
		run.Cursor, run.Resumed = run.saved, true
	}
	return run, nil
}

// endOf returns the last entry of what To means.
func endOf(ctx context.Context, client redis.UniversalClient, stream, to string) (string, error) {
	if to != "" && to != "latest" {
		end, err := state.StartPosition(to)
		if err != nil {
			return "", fmt.Errorf("to: %q is %w to end at; %s", to, state.ErrPosition, state.PositionRemedy)
		}
		return end, nil
	}
	last, err := client.XRevRangeN(ctx, stream, "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("read stream %q: %w", stream, err)
	}
	if len(last) == 0 {
		return "0-0", nil
	}
	return last[0].ID, nil
}

// step puts the events of some entries into the inbox. It reports true at the end.
func (r *replayRun) step(ctx context.Context, entries []redisstreams.Entry) (done bool, err error) {
	done = len(entries) == 0
	var events []rawevent.Event
	for i := range entries {
		if redisstreams.CompareIDs(entries[i].ID, r.to) > 0 {
			done = true
			break
		}
		r.Looked++
		r.Cursor = entries[i].ID
		event, err := entries[i].Event()
		var matched bool
		var unevaluated error // of the filter, which may match all the same
		if err == nil {
			matched, unevaluated = r.filter.Matches(&event, entries[i].ID)
		}
		switch {
		case err != nil, unevaluated != nil && !matched:
			r.Skipped++
		case matched:
			event.Set(attrReplay, r.Name())
			events = append(events, event)
		}
	}
	r.Done = r.fraction(done)
	r.Replayed += len(events)
	if r.DryRun || r.Cursor == r.saved {
		return done, nil
	}
	if len(events) > 0 {
		if err := state.AwaitInbox(ctx, r.client, state.InboxStream(r.Stream, r.Subscription)); err != nil {
			return false, err
		}
	}
	for range events {
		if r.limiter != nil {
			if err := r.limiter.Wait(ctx); err != nil {
				return false, err
			}
		}
	}
	return done, r.put(ctx, events)
}

func (r *replayRun) put(ctx context.Context, events []rawevent.Event) error {
	args := []any{r.Name(), r.saved, r.Cursor}
	for i := range events {
		at := len(args)
		args = r.sender.AppendEntryFields(append(args, 0), &events[i])
		args[at] = len(args) - at - 1
	}
	err := replayScript.Run(ctx, r.client, []string{state.InboxStream(r.Stream, r.Subscription), state.ReplaysKey(r.Stream)}, args...).Err()
	switch {
	case errors.Is(err, redis.Nil):
		return ErrRunning
	case err != nil:
		return fmt.Errorf("put events into the inbox of subscription %q: %w", r.Subscription, err)
	}
	r.saved = r.Cursor
	return nil
}

func (r *replayRun) fraction(done bool) float64 {
	from, _ := redisstreams.EntryTime(r.from)
	to, _ := redisstreams.EntryTime(r.to)
	at, _ := redisstreams.EntryTime(r.Cursor)
	if done || !to.After(from) {
		return 1
	}
	return min(max(float64(at.Sub(from))/float64(to.Sub(from)), 0), 1)
}

// Rewind moves the position of a subscription's group: it delivers again what comes behind to (an entry id, a time,
// earliest or latest), or leaves out what is before. What is pending stays so. It returns the position and how many
// entries lie behind it.
func Rewind(ctx context.Context, client redis.UniversalClient, stream, subscription, to string, dryRun bool) (position string, behind int64, err error) {
	if position, err = state.StartPosition(to); err != nil {
		return "", 0, fmt.Errorf("%w; %s", err, state.PositionRemedy)
	}
	if position == "$" {
		if position, err = endOf(ctx, client, stream, ""); err != nil {
			return "", 0, err
		}
	}
	if err = state.CheckSubscription(ctx, client, stream, subscription); err != nil {
		return "", 0, err
	}
	if behind, err = countBehind(ctx, client, stream, position); err != nil || dryRun {
		return position, behind, err
	}
	if err := client.XGroupSetID(ctx, stream, state.GroupName(subscription), position).Err(); err != nil {
		return "", 0, fmt.Errorf("move subscription %q on stream %q: %w", subscription, stream, err)
	}
	// Also where a lost group would go on.
	if err := client.HSet(ctx, state.PositionsKey(stream), subscription, position).Err(); err != nil {
		return "", 0, fmt.Errorf("note the position of subscription %q: %w", subscription, err)
	}
	return position, behind, nil
}

// countScript counts the entries behind an id, without sending them.
//
//	KEYS[1] stream; ARGV[1] id, ARGV[2] most that one call looks at
//	returns {number, id of the last one}
var countScript = redis.NewScript(`
local page = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {#page, #page > 0 and page[#page][1] or ARGV[1]}`)

func countBehind(ctx context.Context, client redis.UniversalClient, stream, id string) (total int64, err error) {
	const page = 1000
	for {
		reply, err := countScript.Run(ctx, client, []string{stream}, id, page).Slice()
		if err != nil || len(reply) != 2 {
			return 0, fmt.Errorf("count the entries of stream %q: %w", stream, err)
		}
		n, _ := reply[0].(int64)
		id, _ = reply[1].(string)
		if total += n; n < page {
			return total, nil
		}
	}
}
