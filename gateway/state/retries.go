package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// MaxRetries is how many retries one call of Retries reads or writes at most, so that no script blocks Redis for long.
const MaxRetries = 100

// writeRetriesScript notes retries that wait, and removes the records of finished entries.
//
//	KEYS[1] stream, KEYS[2] retries; ARGV[1] group, ARGV[2] consumer, ARGV[3] how many finished entries follow, ARGV[4...]
//	their ids; then for each retry its id, its delay in ms and the rest of its record
//	returns the time of Redis in ms
//
// It is a script because a record must not outlive the entry: between the check and the HSET another replica could take
// the entry over and acknowledge it. Removals come first, because a full Redis refuses the rest. XPENDING fails if the
// group is gone; what is pending after it was created again has no record until its next attempt.
var writeRetriesScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local first = 4 + ARGV[3]
for i = 4, first - 1 do redis.call('HDEL', KEYS[2], ARGV[i]) end
for i = first, #ARGV, 3 do
  local p = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #p == 1 then redis.call('HSET', KEYS[2], ARGV[i], string.format('%.0f ', now + ARGV[i + 1]) .. ARGV[i + 2]) end
end
return now`)

// readFieldsScript reads fields of a hash.
//
//	KEYS[1] hash; ARGV fields
//	returns {time of Redis in ms, list of values}
//
// It is a script so that values and time come from the same server at the same moment.
var readFieldsScript = redis.NewScript(`
local t = redis.call('TIME')
local values = {}
if #ARGV > 0 then values = redis.call('HMGET', KEYS[1], unpack(ARGV)) end
return {t[1] * 1000 + math.floor(t[2] / 1000), values}`)

// tidyRetriesScript removes the records of entries that are not pending any more, one page of a pass.
//
//	KEYS[1] stream, KEYS[2] retries; ARGV[1] group, ARGV[2] cursor
//	returns the next cursor
//
// It is a script for the same reason as writeRetriesScript.
var tidyRetriesScript = redis.NewScript(`
local page = redis.call('HSCAN', KEYS[2], ARGV[2], 'COUNT', 100)
for i = 1, #page[2], 2 do
  local id = page[2][i]
  local p = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1)
  if p.err then return '0' end
  if #p == 0 then redis.call('HDEL', KEYS[2], id) end
end
return page[1]`)

// Retry is a failed delivery that waits for its next attempt.
type Retry struct {
	Entry    string
	Attempts int           // that were made and count
	Wait     time.Duration // until the next attempt; negative if it is overdue
	Asked    bool          // the sink asked for the delay
	Final    bool          // there will be no attempt: only the dead letter is missing
	Code     int           // the final outcome
	Detail   string
}

// Retries is the hash of the retries that wait in a consumer group. A record belongs to the member that has the entry
// pending; it is removed after the entry is acknowledged. It is safe for concurrent use.
type Retries struct {
	Redis           redis.UniversalClient
	Key             string
	Stream          string
	Group, Consumer string
}

// Write notes retries, as far as their entries are pending for the consumer, and removes the records of
// finished ones. It returns the time of Redis. At most [MaxRetries] of both are allowed in one call.
func (r *Retries) Write(ctx context.Context, waiting []Retry, finished []string) (now time.Time, err error) {
	args := make([]any, 0, 3+3*len(waiting)+len(finished))
	args = append(args, r.Group, r.Consumer, len(finished))
	for _, id := range finished {
		args = append(args, id)
	}
	for i := range waiting {
		args = append(args, waiting[i].Entry, waiting[i].Wait.Milliseconds(), waiting[i].record())
	}
	ms, err := writeRetriesScript.Run(ctx, r.Redis, []string{r.Stream, r.Key}, args...).Int64()
	if err != nil {
		return time.Time{}, fmt.Errorf("write retries of group %q: %w", r.Group, err)
	}
	return time.UnixMilli(ms), nil
}

// Read returns the records of entries, by id, and the time of Redis. Entries without a record are left out, and so is a
// record that cannot be read. At most [MaxRetries] ids are allowed in one call.
func (r *Retries) Read(ctx context.Context, ids []string) (found map[string]Retry, now time.Time, err error) {
	values, now, err := readFields(ctx, r.Redis, r.Key, ids)
	if err != nil {
		return nil, now, fmt.Errorf("read retries of group %q: %w", r.Group, err)
	}
	found = map[string]Retry{}
	for i, value := range values {
		if retry, ok := parseRetry(ids[i], value, now); ok {
			found[ids[i]] = retry
		}
	}
	return found, now, nil
}

// Tidy removes the records of entries that are not pending any more, however they came to be left behind.
func (r *Retries) Tidy(ctx context.Context) error {
	for cursor := "0"; ; {
		next, err := tidyRetriesScript.Run(ctx, r.Redis, []string{r.Stream, r.Key}, r.Group, cursor).Text()
		if err != nil {
			return fmt.Errorf("tidy retries of group %q: %w", r.Group, err)
		}
		if cursor = next; cursor == "0" {
			return nil
		}
	}
}

// Flags of a record.
const (
	flagAsked = "a"
	flagFinal = "f"
	noFlags   = "-"
)

// record returns what follows the due time: attempts, flags, code and detail.
func (r *Retry) record() string {
	flags := ""
	if r.Asked {
		flags = flagAsked
	}
	if r.Final {
		flags += flagFinal
	}
	if flags == "" {
		return strconv.Itoa(r.Attempts) + " " + noFlags
	}
	return fmt.Sprintf("%d %s %d %s", r.Attempts, flags, r.Code, r.Detail)
}

func parseRetry(id, value string, now time.Time) (Retry, bool) {
	parts := strings.SplitN(value, " ", 5)
	if len(parts) < 3 {
		return Retry{}, false
	}
	due, errDue := strconv.ParseInt(parts[0], 10, 64)
	attempts, errAttempts := strconv.Atoi(parts[1])
	if errors.Join(errDue, errAttempts) != nil {
		return Retry{}, false
	}
	r := Retry{
		Entry: id, Attempts: attempts, Wait: time.UnixMilli(due).Sub(now),
		Asked: strings.Contains(parts[2], flagAsked), Final: strings.Contains(parts[2], flagFinal),
	}
	if len(parts) == 5 {
		r.Code, _ = strconv.Atoi(parts[3])
		r.Detail = parts[4]
	}
	return r, true
}

// readFields reads fields of a hash, "" for those that it does not have, and the time of Redis.
func readFields(
	ctx context.Context, client redis.UniversalClient, key string, fields []string,
) (values []string, now time.Time, err error) {
	args := make([]any, len(fields))
	for i := range fields {
		args[i] = fields[i]
	}
	reply, err := readFieldsScript.Run(ctx, client, []string{key}, args...).Slice()
	if err != nil {
		return nil, time.Time{}, err
	}
	ms, isTime := reply[0].(int64)
	list, isList := reply[1].([]any)
	if !isTime || !isList || len(list) != len(fields) {
		return nil, time.Time{}, errors.New("unexpected reply")
	}
	values = make([]string, len(fields))
	for i := range list {
		values[i], _ = list[i].(string)
	}
	return values, time.UnixMilli(ms), nil
}
