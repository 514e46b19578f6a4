package redisstreams_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// TestSlotMovesUnderLoad: MOVED, ASK and TRYAGAIN are followed: no send fails, nothing is stored twice, all is
// delivered.
func TestSlotMovesUnderLoad(t *testing.T) {
	t.Parallel()
	const moves = 4
	cluster := redistest.StartCluster(t, 3)
	client := redis.NewUniversalClient(redisstreams.ClientOptions(cluster.Options()))
	t.Cleanup(func() { _ = client.Close() })
	book := newLedger()
	log, logger := logged()
	stop := book.consumeInto(t, client, "s", logger)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var producers sync.WaitGroup
	for _, way := range sendings() {
		sender := newSender(t, client, "s", way.opts...)
		producers.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%s-%d", way.name, i)
				err := way.send(sender, id)
				if err != nil {
					t.Errorf("%s: %v", id, err)
				}
				book.note(err, id)
				if way.entries == 3 {
					book.note(err, id+"b")
					book.note(err, id+"c")
				}
				<-pace.C
			}
		})
	}
	book.flow(t, 100)
	for i := range moves {
		to := cluster.Nodes()[i%3]
		if cluster.Owner("s") == to {
			continue
		}
		move := cluster.BeginMove("s", to)
		move.MoveKeys()
		move.Finish()
		book.flow(t, 100)
	}
	cancel()
	producers.Wait()
	book.settle(t, client, "s")
	stop()
	for id, n := range copies(t, "s", client) {
		if n != 1 {
			t.Errorf("event %s is in the stream %d times", id, n)
		}
	}
	if n := strings.Count(log.String(), "\n"); n > 4*moves {
		t.Errorf("%d lines about %d moves:\n%s", n, moves, log)
	}
}

// TestBatchWhileASlotMoves: those who share a round trip are served while the slot is between two nodes, however long.
func TestBatchWhileASlotMoves(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	client := redis.NewUniversalClient(redisstreams.ClientOptions(cluster.Options()))
	t.Cleanup(func() { _ = client.Close() })
	sender := newSender(t, client, "s")
	mustAppend(t, sender, sample("warm"))
	to := cluster.Nodes()[0]
	if cluster.Owner("s") == to {
		to = cluster.Nodes()[1]
	}
	move := cluster.BeginMove("s", to)
	move.MoveKeys()
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			if err := appendEvent(sender, fmt.Sprint(i)); err != nil {
				t.Errorf("Append: %v", err)
			}
		})
	}
	group.Wait()
	move.Finish()
	stored := copies(t, "s", client)
	for id, n := range stored {
		if n != 1 {
			t.Errorf("event %s is in the stream %d times", id, n)
		}
	}
	if len(stored) != 101 {
		t.Errorf("%d events, want 101", len(stored))
	}
}

// TestClusterDown: a cluster that does not serve all slots refuses, and nothing is written; afterwards all goes on.
func TestClusterDown(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	client := redis.NewUniversalClient(redisstreams.ClientOptions(cluster.Options()))
	t.Cleanup(func() { _ = client.Close() })
	ways := sendings()
	senders := make([]*redisstreams.Sender, len(ways))
	for i, way := range ways {
		senders[i] = newSender(t, client, "s", way.opts...)
		if err := way.send(senders[i], "warm"+way.name); err != nil {
			t.Fatal(err)
		}
	}
	log, logger := logged()
	c, _ := startConsumer(t, client, "s", logger)
	r := keepReceiving(t, c)
	ackAll(r.next(t, 8))

	owner := cluster.Owner("s")
	lift := breakCluster(t, cluster, owner)
	before := commandsSeen(t, owner)
	for i, way := range ways {
		started := time.Now()
		if err := way.send(senders[i], "x"); err == nil || !strings.Contains(err.Error(), "CLUSTERDOWN") {
			t.Errorf("%s: error %v, want CLUSTERDOWN", way.name, err)
		}
		if took := time.Since(started); took > soon {
			t.Errorf("%s: it took %s", way.name, took)
		}
	}
	pass(time.Second)
	if n := commandsSeen(t, owner) - before; n > 150 {
		t.Errorf("%d commands", n)
	}
	lift()
	for i, way := range ways {
		redistest.Eventually(t, "sending works again: "+way.name, func() bool { return way.send(senders[i], "y"+way.name) == nil })
	}
	for _, d := range r.next(t, 8) {
		if e, err := d.Event(); err != nil || e.ID()[0] != 'y' {
			t.Errorf("event %q, %v", e.ID(), err)
		}
		d.Ack()
	}
	redistest.Eventually(t, "all is acknowledged", func() bool { return pending(t, client, "s") == 0 })
	if n := strings.Count(log.String(), "\n"); n > 8 {
		t.Errorf("%d lines about one outage:\n%s", n, log)
	}
}

// breakCluster freezes all nodes but one, until that one refuses to serve.
func breakCluster(t testing.TB, cluster *redistest.Cluster, owner *redistest.Server) (lift func()) {
	t.Helper()
	each := func(f func(*redistest.Server)) {
		for _, node := range cluster.Nodes() {
			if node != owner {
				f(node)
			}
		}
	}
	each((*redistest.Server).Pause)
	redistest.Eventually(t, "the cluster is down", func() bool {
		return strings.HasPrefix(fmt.Sprint(owner.Client().Get(t.Context(), "s").Err()), "CLUSTERDOWN")
	})
	return func() {
		each((*redistest.Server).Resume)
		cluster.AwaitHealthy(t)
	}
}
