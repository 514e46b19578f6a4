package redistest

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	EachFlavor(t, func(t *testing.T, flavor Flavor) {
		begin := time.Now()
		s := StartSentinel(t, WithBinary(flavor.Binary))
		t.Logf("started in %v", time.Since(begin))
		first := s.Master()
		set(t, first, "k", "v")
		if s.MasterName() == "" || len(s.Addrs()) != 3 || len(s.Sentinels()) != 3 || len(s.Replicas()) != 1 ||
			s.Replicas()[0] == first {
			t.Errorf("sentinels %v, replicas %v", s.Addrs(), s.Replicas())
		}

		begin = time.Now()
		second := s.Failover(t)
		t.Logf("failover in %v", time.Since(begin))
		if second == first || s.Master() != second || s.Replicas()[0] != first {
			t.Errorf("master after failover: %s, was %s", second.Addr(), first.Addr())
		}
		Eventually(t, "old master follows", func() bool {
			return first.field("replication", "master_link_status") == "up"
		})

		begin = time.Now()
		second.Kill()
		if third := s.AwaitMaster(t, second); third != first {
			t.Errorf("master after kill: %s, want %s", third.Addr(), first.Addr())
		}
		t.Logf("failover after kill in %v", time.Since(begin))
		second.Restart()
		Eventually(t, "killed master follows", func() bool {
			return second.field("replication", "master_link_status") == "up"
		})
		client := redis.NewUniversalClient(s.Options())
		defer func() { _ = client.Close() }()
		if got, err := client.Get(t.Context(), "k").Result(); err != nil || got != "v" {
			t.Errorf("GET through the sentinels = %q, %v; want v", got, err)
		}
	})
}

func TestSentinelWithTwoReplicas(t *testing.T) {
	t.Parallel()
	s := StartSentinel(t, WithReplicas(2))
	if got := len(s.Replicas()); got != 2 {
		t.Fatalf("%d replicas, want 2", got)
	}
	promoted := s.Failover(t)
	promoted.Restart() // it keeps the role of its promotion
	if got := promoted.field("replication", "role"); got != "master" {
		t.Errorf("role after restart: %s, want master", got)
	}
	s.Sentinels()[0].Kill() // two sentinels are enough
	promoted.Pause()
	next := s.AwaitMaster(t, promoted)
	promoted.Resume()
	Eventually(t, "old master follows", func() bool { return promoted.field("replication", "role") == "slave" })
	if s.Master() != next {
		t.Errorf("master = %s, want %s", s.Master().Addr(), next.Addr())
	}
}
