package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// moveScript adds an event to another stream and acknowledges its entry, both or neither.
//
//	KEYS[1] stream, KEYS[2] the other one; ARGV[1] group, ARGV[2] consumer, ARGV[3] entry, ARGV[4...] arguments of XADD
//	returns the new entry's id, or nil if the entry is not pending for this consumer any more
//
// It is a script because an entry that somebody else has taken over must not be added twice.
var moveScript = redis.NewScript(`
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then return false end
local id = redis.call('XADD', KEYS[2], unpack(ARGV, 4))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
return id`)

// streamSink appends events to another stream.
type streamSink struct {
	client redis.UniversalClient
	to     *redisstreams.Sender
	// target is the other stream where one script may use both; "" where they are in different slots of a Cluster, or the
	// other stream asks for more than that Redis has the event in memory. Then an event may be added twice.
	target          string
	group, consumer string
}

func newStreamSink(client redis.UniversalClient, from, target *StreamConfig, group, consumer string) (*streamSink, error) {
	to, err := redisstreams.NewSender(client, target.Name, target.senderOptions()...)
	s := &streamSink{client: client, to: to, group: group, consumer: consumer}
	_, isCluster := client.(*redis.ClusterClient)
	sameSlot := redisstreams.Key(from.Name, "") == redisstreams.Key(target.Name, "")
	if (!isCluster || sameSlot) && target.Durability == durabilityMemory {
		s.target = target.Name
	}
	return s, err
}

func (s *streamSink) close() {}

func (s *streamSink) deliver(ctx context.Context, j *job) outcome {
	// Streams may hand events to each other in a circle. What is in a format that is not understood has no attributes, and
	// goes on as it is, without a limit.
	if len(j.event.Attributes) > 0 {
		ttl := takeTTL(&j.event) - 1
		if ttl <= 0 {
			return outcome{code: http.StatusLoopDetected, detail: []byte("the event has gone through too many streams"), final: true}
		}
		j.event.Set(attrTTL, strconv.Itoa(ttl))
	}
	if s.target == "" {
		_, err := s.to.Append(ctx, &j.event)
		return redisOutcome(err)
	}
	ctx, cancel := context.WithTimeout(ctx, redisStepTimeout)
	defer cancel()
	args := s.to.AppendEntryFields([]any{s.group, s.consumer, j.delivery.ID, "*"}, &j.event)
	err := moveScript.Run(ctx, s.client, []string{j.delivery.Stream, s.target}, args...).Err()
	if errors.Is(err, redis.Nil) {
		return outcome{code: noResponse, gone: true}
	}
	return redisOutcome(err)
}

// channelSink publishes events on a Pub/Sub channel, in JSON: a message has no place for attributes. Who does not listen at
// the moment misses the event; that somebody does is not asked for.
type channelSink struct {
	client  redis.UniversalClient
	channel string
	timeout time.Duration
}

func (s *channelSink) close() {}

func (s *channelSink) deliver(ctx context.Context, j *job) outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	message := j.event.Data // in a format that is not understood; Pub/Sub has JSON only, but nothing is dropped
	if len(j.event.Attributes) > 0 {
		takeTTL(&j.event)
		message = j.event.AppendJSON(nil)
	}
	return redisOutcome(s.client.Publish(ctx, s.channel, message).Err())
}

// redisOutcome is the outcome of a sink that is in Redis.
func redisOutcome(err error) outcome {
	if err != nil {
		return outcome{code: noResponse, detail: []byte(err.Error())}
	}
	return outcome{code: http.StatusAccepted}
}
