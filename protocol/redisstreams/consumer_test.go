package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const shortLease = 300 * time.Millisecond

func appendN(t testing.TB, client redis.UniversalClient, stream string, n int) {
	t.Helper()
	sender := newSender(t, client, stream)
	for i := range n {
		e := sample(fmt.Sprint(i))
		if _, err := sender.Append(context.Background(), &e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAcknowledgedEntriesAreNotPending(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c, stop := startConsumer(t, client, stream)
	appendN(t, client, stream, 2500)
	batch := receive(t, c, 2500)
	for i, d := range batch {
		if e, err := d.Event(); err != nil || e.ID() != fmt.Sprint(i) || d.Attempt != 1 {
			t.Fatalf("entry %d: id %q, attempt %d, %v", i, e.ID(), d.Attempt, err)
		}
		d.Ack()
	}
	stop() // sends what is left to acknowledge
	if n := pending(t, client, stream); n != 0 {
		t.Errorf("%d entries are pending", n)
	}
	consumers, err := client.XInfoConsumers(context.Background(), stream, "group").Result()
	if err != nil || len(consumers) != 0 {
		t.Errorf("the consumer is still there: %v %v", consumers, err)
	}
}

func TestEntriesOfADeadConsumerAreTakenOver(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	dead, err := redisstreams.NewConsumer(client, stream, "group", redisstreams.WithStart("0")) // Run is never called: no heartbeat
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, client, stream, 10)
	receive(t, dead, 10)
	var reclaimed atomic.Int64
	c, _ := startConsumer(t, client, stream, redisstreams.WithLease(shortLease), redisstreams.WithHooks(redisstreams.Hooks{
		Reclaimed: func(n int) { reclaimed.Add(int64(n)) },
	}))
	for _, d := range receive(t, c, 10) {
		if d.Attempt != 2 {
			t.Errorf("entry %s: attempt %d, want 2", d.ID, d.Attempt)
		}
		d.Ack()
	}
	if reclaimed.Load() != 10 {
		t.Errorf("%d entries reported as taken over, want 10", reclaimed.Load())
	}
}

// TestHeartbeatKeepsEntriesInWork: a slow consumer is not taken for a dead one.
func TestHeartbeatKeepsEntriesInWork(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	slow, _ := startConsumer(t, client, stream, redisstreams.WithLease(shortLease))
	appendN(t, client, stream, 150) // more than one script call holds
	batch := receive(t, slow, 150)
	other, _ := startConsumer(t, client, stream, redisstreams.WithLease(shortLease))
	ctx, cancel := context.WithTimeout(context.Background(), 4*shortLease)
	defer cancel()
	if stolen, err := other.ReceiveBatch(ctx, 150); !errors.Is(err, io.EOF) {
		t.Fatalf("the other consumer got %d entries in work (%v)", len(stolen), err)
	}
	for _, d := range batch {
		d.Ack()
	}
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, stream) == 0 })
}

// TestStoppedConsumerHandsOverAtOnce: what it had in work goes to the others without waiting for the lease.
func TestStoppedConsumerHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	first, stop := startConsumer(t, client, stream)
	appendN(t, client, stream, 5)
	receive(t, first, 5)
	second, _ := startConsumer(t, client, stream)
	stop()
	started := time.Now()
	for _, d := range receive(t, second, 5) {
		d.Ack()
	}
	if took := time.Since(started); took > 10*time.Second { // the lease is 30 s
		t.Errorf("it took %s", took)
	}
}

func TestRedeliverCountsAndLeavesOutWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	var trimmed atomic.Int64
	c, _ := startConsumer(t, client, stream, redisstreams.WithHooks(redisstreams.Hooks{
		Trimmed: func(ids []string) { trimmed.Add(int64(len(ids))) },
	}))
	appendN(t, client, stream, 4)
	batch := receive(t, c, 4)
	ids := []string{batch[0].ID, batch[1].ID, batch[2].ID, batch[3].ID}
	ctx := context.Background()
	if err := client.XClaim(ctx, &redis.XClaimArgs{Stream: stream, Group: "group", Consumer: "thief", Messages: ids[1:2]}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.XDel(ctx, stream, ids[2]).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.XAck(ctx, stream, "group", ids[3]).Err(); err != nil {
		t.Fatal(err)
	}
	again, err := c.Redeliver(ctx, ids)
	if err != nil || len(again) != 1 || again[0].ID != ids[0] || again[0].Attempt != 2 {
		t.Fatalf("%v %v", again, err)
	}
	if trimmed.Load() != 1 {
		t.Errorf("%d entries reported as trimmed, want 1", trimmed.Load())
	}
	for _, id := range ids[1:] {
		if c.Held(id) {
			t.Errorf("entry %s is still held", id)
		}
	}
	again[0].Ack()
}

func TestTrimmedEntriesOfADeadConsumerAreReported(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	dead, err := redisstreams.NewConsumer(client, stream, "group", redisstreams.WithStart("0"))
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, client, stream, 3)
	gone := receive(t, dead, 3)
	if err := client.XTrimMaxLen(context.Background(), stream, 1).Err(); err != nil {
		t.Fatal(err)
	}
	var trimmed atomic.Int64
	c, _ := startConsumer(t, client, stream, redisstreams.WithLease(shortLease), redisstreams.WithHooks(redisstreams.Hooks{
		Trimmed: func(ids []string) { trimmed.Add(int64(len(ids))) },
	}))
	d := receive(t, c, 1)[0]
	if d.ID != gone[2].ID {
		t.Errorf("got entry %s, want %s", d.ID, gone[2].ID)
	}
	d.Ack()
	redistest.Eventually(t, "nothing is pending", func() bool { return pending(t, client, stream) == 0 })
	if trimmed.Load() != 2 {
		t.Errorf("%d entries reported as trimmed, want 2", trimmed.Load())
	}
}

// TestLostGroupResumes: after the group has disappeared, nothing is lost and nothing acknowledged comes again.
func TestLostGroupResumes(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	positions := make(chan string, 1)
	c, _ := startConsumer(t, client, stream, redisstreams.WithHooks(redisstreams.Hooks{
		GroupRecreated: func(position string) { positions <- position },
	}))
	appendN(t, client, stream, 3)
	last := ""
	for _, d := range receive(t, c, 3) {
		d.Ack()
		last = d.ID
	}
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, stream) == 0 })
	if err := client.XGroupDestroy(context.Background(), stream, "group").Err(); err != nil {
		t.Fatal(err)
	}
	appendN(t, client, stream, 2)
	for _, d := range receive(t, c, 2) {
		if redisstreams.CompareIDs(d.ID, last) <= 0 {
			t.Errorf("entry %s came again", d.ID)
		}
		d.Ack()
	}
	if position := <-positions; position != last {
		t.Errorf("the group began again at %s, want %s", position, last)
	}
}

// TestKilledRedis: entries in work stay in work, and new ones arrive after its return.
func TestKilledRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithAOF("always"))
	client, stream := server.Client(), redistest.Stream(t)
	c, stop := startConsumer(t, client, stream)
	appendN(t, client, stream, 5)
	first := receive(t, c, 5)
	server.Kill()
	for _, d := range first {
		d.Ack() // cannot be sent now
	}
	server.Restart()
	redistest.Eventually(t, "the acknowledgements arrive", func() bool {
		p, err := client.XPending(context.Background(), stream, "group").Result()
		return err == nil && p.Count == 0
	})
	appendN(t, client, stream, 5)
	for _, d := range receive(t, c, 5) {
		d.Ack()
	}
	stop()
	if n := pending(t, client, stream); n != 0 {
		t.Errorf("%d entries are pending", n)
	}
}

// TestLostReplyIsRecovered: an entry that Redis has handed out to us, but whose reply was lost, does not wait for its
// lease to end.
func TestLostReplyIsRecovered(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithAOF("always"))
	client, stream := server.Client(), redistest.Stream(t)
	c, _ := startConsumer(t, client, stream)
	if err := c.Ensure(context.Background()); err != nil {
		t.Fatal(err)
	}
	appendN(t, client, stream, 3)
	// The reply of this command is the one that got lost.
	err := client.XReadGroup(context.Background(), &redis.XReadGroupArgs{
		Group: "group", Consumer: c.Name(), Streams: []string{stream, ">"}, Block: -1,
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if _, err := c.Poll(context.Background(), 1, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	server.Restart()
	started := time.Now()
	for _, d := range receive(t, c, 3) {
		d.Ack()
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestStartPositions(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	ctx := context.Background()
	for _, id := range []string{"1000-0", "2000-0", "2000-1", "3000-0"} {
		if err := client.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: id, Values: []string{"a", "b"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for start, want := range map[string]int{
		"0": 4, "2000-0": 2, redisstreams.StartAt(time.UnixMilli(2000)): 3, redisstreams.StartAt(time.UnixMilli(0)): 4, "$": 0,
	} {
		c, err := redisstreams.NewConsumer(client, stream, "group-"+start, redisstreams.WithStart(start))
		if err != nil {
			t.Fatal(err)
		}
		batch, err := c.Poll(ctx, 10, time.Millisecond)
		if err != nil || len(batch) != want {
			t.Errorf("from %s: %d entries, want %d (%v)", start, len(batch), want, err)
		}
	}
}

// TestHeartbeatDoesNotTakeBack: an entry that another member has taken over, because this one was silent, stays there.
func TestHeartbeatDoesNotTakeBack(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c, _ := startConsumer(t, client, stream, redisstreams.WithLease(shortLease))
	appendN(t, client, stream, 1)
	d := receive(t, c, 1)[0]
	ctx := context.Background()
	err := client.XClaim(ctx, &redis.XClaimArgs{Stream: stream, Group: "group", Consumer: "other", Messages: []string{d.ID}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "the heartbeat notices", func() bool { return !c.Held(d.ID) })
	pending, err := client.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: stream, Group: "group", Start: "-", End: "+", Count: 10}).Result()
	if err != nil || len(pending) != 1 || pending[0].Consumer != "other" {
		t.Errorf("%v %v", pending, err)
	}
}

// TestStreamThatBeginsAgainWithLowerIDs: after FLUSHALL, or a failover to a server whose clock is behind, the group
// begins where the stream does, not behind it.
func TestStreamThatBeginsAgainWithLowerIDs(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	ctx := context.Background()
	c, _ := startConsumer(t, client, stream)
	future := fmt.Sprintf("%d-0", time.Now().Add(time.Hour).UnixMilli())
	err := client.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: future, Values: []string{"ce_specversion", "1.0"}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	receive(t, c, 1)[0].Ack()
	redistest.Eventually(t, "it is acknowledged", func() bool { return pending(t, client, stream) == 0 })
	if err := client.Del(ctx, stream).Err(); err != nil {
		t.Fatal(err)
	}
	appendN(t, client, stream, 5)
	for _, d := range receive(t, c, 5) {
		d.Ack()
	}
}

// TestStalledRedisDoesNotExpireLeases: when Redis was silent for longer than the lease, living members renew their
// leases before another one takes their entries over.
func TestStalledRedisDoesNotExpireLeases(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, stream := server.Client(), redistest.Stream(t)
	const lease = time.Second
	busy, _ := startConsumer(t, client, stream, redisstreams.WithLease(lease))
	appendN(t, client, stream, 50)
	batch := receive(t, busy, 50)
	other, _ := startConsumer(t, client, stream, redisstreams.WithLease(lease))
	ctx, cancel := context.WithCancel(context.Background())
	stolen := make(chan int, 1)
	go func() {
		entries, _ := other.ReceiveBatch(ctx, 50) // io.EOF at the end
		stolen <- len(entries)
	}()
	server.Pause()
	down, cancelDown := context.WithTimeout(ctx, 3*lease)
	<-down.Done()
	cancelDown()
	server.Resume()
	quiet, cancelQuiet := context.WithTimeout(ctx, 3*lease)
	<-quiet.Done()
	cancelQuiet()
	cancel()
	if n := <-stolen; n != 0 {
		t.Errorf("%d of 50 entries in work were taken", n)
	}
	for _, d := range batch {
		d.Ack()
	}
}
