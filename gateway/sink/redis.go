package sink

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// moveScript adds an event to another stream and acknowledges its entry, both or neither.
//
//	KEYS[1] stream, KEYS[2] the other one; ARGV[1] group, ARGV[2] consumer, ARGV[3] entry, ARGV[4...] arguments of XADD
//	returns the new entry's id, or nil if the entry is not pending for this consumer any more
//
// It is a script because an entry that another replica has taken over must not be added twice.
var moveScript = redis.NewScript(`
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then return false end
local id = redis.call('XADD', KEYS[2], unpack(ARGV, 4))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
return id`)

// streamSink appends events to another stream.
type streamSink struct {
	client redis.UniversalClient
	to     *redisstreams.Sender
	// target is the other stream where one script may use both; "" where they are in different slots of a Cluster, or
	// the other stream asks for more than that Redis has the event in memory. Then an event may be added twice.
	target string
	group  string
}

func newStreamSink(target string, o *Options) *streamSink {
	s := &streamSink{client: o.Redis, to: o.Target.Sender, group: o.Group}
	_, isCluster := o.Redis.(*redis.ClusterClient)
	sameSlot := redisstreams.Key(o.Target.From, "") == redisstreams.Key(target, "")
	if (!isCluster || sameSlot) && o.Target.InMemory {
		s.target = target
	}
	return s
}

// Close implements [Sink]; the client is not the sink's.
func (s *streamSink) Close() {}

// Finish implements [Sink]: nothing waits here.
func (s *streamSink) Finish() {}

// Deliver implements [Sink].
func (s *streamSink) Deliver(ctx context.Context, item *Item) Outcome {
	// Streams may hand events to each other in a circle. What is in a format that is not understood has no attributes,
	// and goes on as it is, without a limit.
	if len(item.Event.Attributes) > 0 {
		ttl := TakeTTL(&item.Event) - 1
		if ttl <= 0 {
			return Outcome{Code: http.StatusLoopDetected, Detail: []byte("the event has gone through too many streams"), Final: true}
		}
		item.Event.Set(AttrTTL, strconv.Itoa(ttl))
	}
	if s.target == "" {
		_, err := s.to.Append(ctx, &item.Event)
		return redisOutcome(err)
	}
	ctx, cancel := context.WithTimeout(ctx, state.StepTimeout)
	defer cancel()
	args := s.to.AppendEntryFields([]any{s.group, item.Consumer, item.Entry, "*"}, &item.Event)
	err := moveScript.Run(ctx, s.client, []string{item.Stream, s.target}, args...).Err()
	if errors.Is(err, redis.Nil) {
		return Outcome{Code: NoResponse, Gone: true}
	}
	return redisOutcome(err)
}

// channelSink publishes events on a Pub/Sub channel, in JSON: a message has no place for attributes. Who does not
// listen at the moment misses the event; whether a subscriber listens is not checked.
type channelSink struct {
	client  redis.UniversalClient
	channel string
	timeout time.Duration
}

// Close implements [Sink]; the client is not the sink's.
func (s *channelSink) Close() {}

// Finish implements [Sink]: nothing waits here.
func (s *channelSink) Finish() {}

// Deliver implements [Sink].
func (s *channelSink) Deliver(ctx context.Context, item *Item) Outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	message := item.Event.Data // in a format that is not understood; Pub/Sub has JSON only, but nothing is dropped
	if len(item.Event.Attributes) > 0 {
		TakeTTL(&item.Event)
		message = item.Event.AppendJSON(nil)
	}
	return redisOutcome(s.client.Publish(ctx, s.channel, message).Err())
}

// redisOutcome is the outcome of a sink that is in Redis.
func redisOutcome(err error) Outcome {
	if err != nil {
		return Outcome{Code: NoResponse, Detail: []byte(err.Error())}
	}
	return Outcome{Code: http.StatusAccepted}
}
