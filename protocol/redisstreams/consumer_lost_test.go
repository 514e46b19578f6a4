package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// TestWithLostGroup: a lost group goes on where it is told, and what is in work is not handed out a second time to the
// same member.
func TestWithLostGroup(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	asked := make(chan string, 10)
	consumer, _ := startConsumer(t, client, stream, redisstreams.WithLostGroup(func(_ context.Context, position string) (string, error) {
		asked <- position
		if position == "" {
			return "", nil
		}
		return "0-0", nil
	}))
	r := keepReceiving(t, consumer)
	if position := <-asked; position != "" {
		t.Errorf("a new group was asked for with position %s", position)
	}
	redistest.Eventually(t, "the group is there", func() bool {
		return len(client.XInfoGroups(context.Background(), stream).Val()) == 1
	})
	appendN(t, client, stream, 5)
	batch := r.next(t, 5)
	ackAll(batch[:2])
	redistest.Eventually(t, "two are acknowledged", func() bool { return pending(t, client, stream) == 3 })
	command(t, client, "XGROUP", "DESTROY", stream, "group")
	if position := <-asked; position != batch[4].ID {
		t.Errorf("asked with position %s, want %s", position, batch[4].ID)
	}
	for i, d := range r.next(t, 2) { // the acknowledgements went with the group
		if d.ID != batch[i].ID {
			t.Errorf("entry %s came again, want %s", d.ID, batch[i].ID)
		}
		d.Ack()
	}
	appendN(t, client, stream, 1)
	d := r.next(t, 1)[0]
	if redisstreams.CompareIDs(d.ID, batch[4].ID) <= 0 {
		t.Errorf("entry %s, which is in work, came again", d.ID)
	}
	d.Ack()
	ackAll(batch[2:])
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, stream) == 0 })
}

// TestGroupStaysLost: where the group is not to be made, the member waits for it, and finds it.
func TestGroupStaysLost(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	log, logger := logged()
	consumer, _ := startConsumer(t, client, stream, logger, redisstreams.WithLease(shortLease),
		redisstreams.WithLostGroup(func(_ context.Context, position string) (string, error) {
			if position == "" {
				return "", nil
			}
			return "", fmt.Errorf("%w: make it", redisstreams.ErrGroupLost)
		}))
	r := keepReceiving(t, consumer)
	redistest.Eventually(t, "the group is there", func() bool { return consumer.Ensure(context.Background()) == nil })
	appendN(t, client, stream, 2)
	batch := r.next(t, 2)
	command(t, client, "XGROUP", "DESTROY", stream, "group")
	redistest.Eventually(t, "it says so", func() bool { return strings.Contains(log.String(), "make it") })
	if err := consumer.Ensure(context.Background()); !errors.Is(err, redisstreams.ErrGroupLost) {
		t.Errorf("error %v, want ErrGroupLost", err)
	}
	command(t, client, "XGROUP", "CREATE", stream, "group", batch[1].ID)
	appendN(t, client, stream, 1)
	ackAll(r.next(t, 1))
	ackAll(batch)
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, stream) == 0 })
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d lines:\n%s", n, log)
	}
}
