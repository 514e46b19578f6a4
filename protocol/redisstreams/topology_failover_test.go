package redisstreams_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// maxOutageLines is how many lines one outage may cost in the log of two members: its beginning and end for reading,
// and the beginnings of what fails beside it (leases, acknowledgements).
const maxOutageLines = 24

// TestFailoverOfSentinel: what a replica had confirmed outlives its master; who sends again makes no second entry.
func TestFailoverOfSentinel(t *testing.T) {
	t.Parallel()
	for name, failover := range map[string]func(t *testing.T, s *redistest.Sentinel){
		"planned": func(t *testing.T, s *redistest.Sentinel) {
			t.Helper()
			s.Failover(t)
		},
		"kill": func(t *testing.T, s *redistest.Sentinel) {
			t.Helper()
			master := s.Master()
			master.Kill()
			s.AwaitMaster(t, master)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group := redistest.StartSentinel(t, redistest.WithReplicas(2))
			client, stream := topologyClient(t, group.Options()), redistest.Stream(t)
			l := newLoad(t, stream, client, client)
			durable := newSender(t, client, stream, redisstreams.WithDedup(time.Minute), redisstreams.WithReplicas(1))
			l.member()
			l.member()
			for i := range 4 {
				l.produce("durable-"+strconv.Itoa(i), 1, single(durable))
			}
			l.progress(20)
			begun := time.Now()
			failover(t, group)
			l.progress(20)
			t.Logf("goes on %s after the beginning of the failover", time.Since(begun).Round(time.Millisecond))
			l.finish()
			if lines := strings.Count(l.logs.String(), "\n"); lines > maxOutageLines {
				t.Errorf("%d lines in the log:\n%s", lines, l.logs.String())
			}
		})
	}
}

// TestFailoverOfCluster: the same where a replica takes over the slots of its master.
func TestFailoverOfCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, redistest.WithReplicas(1))
	client, stream := topologyClient(t, cluster.Options()), redistest.Stream(t)
	l := newLoad(t, stream, client, client)
	durable := newSender(t, client, stream, redisstreams.WithDedup(time.Minute), redisstreams.WithReplicas(1))
	plain := newSender(t, client, stream, redisstreams.WithDedup(time.Minute))
	l.member()
	l.member()
	l.produce("durable", 1, single(durable))
	l.produce("batch", 3, batch(durable))
	l.progress(20)
	begun := time.Now()
	cluster.Failover(t, stream) // planned: nothing that was answered is lost
	l.progress(20)
	t.Logf("goes on %s after the beginning of the failover", time.Since(begun).Round(time.Millisecond))
	l.produce("plain", 1, single(plain))
	l.progress(20, "plain")
	l.finish()
}

// TestPartitionsInACluster: the partitions of a logical stream lie on several nodes, each with what belongs to it.
func TestPartitionsInACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	client, name := topologyClient(t, cluster.Options()), redistest.Stream(t)
	const partitions = 8
	owners := map[string]bool{}
	for p := range partitions {
		stream := "{" + name + ":" + strconv.Itoa(p) + "}"
		owners[cluster.Owner(stream).Addr()] = true
		if redistest.Slot(stream) != redistest.Slot(redisstreams.Key(stream, "dedup:x")) {
			t.Errorf("partition %d and its keys are in different slots", p)
		}
	}
	if len(owners) < 2 {
		t.Errorf("%d partitions are on %d nodes", partitions, len(owners))
	}
	senders := map[string]*redisstreams.Sender{}
	for i := range 100 {
		e := rawevent.New(strconv.Itoa(i), "/s", "t")
		stream := redisstreams.PartitionStream(name, partitions, &e, "")
		if senders[stream] == nil {
			senders[stream] = newSender(t, client, stream, redisstreams.WithDedup(time.Minute))
		}
		first := mustAppend(t, senders[stream], e)
		if again := mustAppend(t, senders[stream], e); again != first {
			t.Errorf("event %d: entry %s, and %s when sent again", i, first, again)
		}
	}
	total := int64(0)
	for stream := range senders {
		total += length(t, client, stream)
	}
	if total != 100 || len(senders) != partitions {
		t.Errorf("%d entries in %d partitions", total, len(senders))
	}
}
