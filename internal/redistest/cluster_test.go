package redistest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestClusterMovesSlots(t *testing.T) {
	t.Parallel()
	EachFlavor(t, func(t *testing.T, flavor Flavor) {
		begin := time.Now()
		c := StartCluster(t, 3, WithBinary(flavor.Binary))
		t.Logf("started in %v", time.Since(begin))
		client := redis.NewUniversalClient(c.Options())
		defer func() { _ = client.Close() }()

		key, group := "{tag}stream", "g"
		for i := range 250 { // more than one MIGRATE takes
			if err := client.Set(t.Context(), "{tag}"+strconv.Itoa(i), i, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.XGroupCreateMkStream(t.Context(), key, group, "0").Err(); err != nil {
			t.Fatal(err)
		}
		from, to := c.Owner(key), other(c, key)
		begin = time.Now()
		c.MoveSlot(key, to)
		t.Logf("slot moved in %v", time.Since(begin))
		if got := c.Owner(key); got != to {
			t.Errorf("owner = %s, want %s", got.Addr(), to.Addr())
		}
		if n, err := to.Client().DBSize(t.Context()).Result(); err != nil || n != 251 {
			t.Errorf("new owner has %d keys, %v; want 251", n, err)
		}
		if err := from.Client().Exists(t.Context(), key).Err(); err == nil ||
			!strings.HasPrefix(err.Error(), "MOVED ") {
			t.Errorf("old owner answers %v, want MOVED", err)
		}
		if n, err := client.XLen(t.Context(), key).Result(); err != nil || n != 0 {
			t.Errorf("XLEN = %d, %v", n, err)
		}
		c.MoveSlot(key, to) // nothing to do
	})
}

func TestClusterInTheMiddleOfAMove(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3)
	const key = "{tag}k"
	from, to := c.Owner(key), other(c, key)
	set(t, from, key, "v")
	m := c.BeginMove(key, to)
	if got, err := from.Client().Get(t.Context(), key).Result(); err != nil || got != "v" {
		t.Errorf("GET before the keys move = %q, %v", got, err)
	}
	m.MoveKeys()
	if err := from.Client().Get(t.Context(), key).Err(); err == nil || !strings.HasPrefix(err.Error(), "ASK ") {
		t.Errorf("GET after the keys have moved: %v, want ASK", err)
	}
	client := redis.NewUniversalClient(c.Options())
	defer func() { _ = client.Close() }()
	if got, err := client.Get(t.Context(), key).Result(); err != nil || got != "v" {
		t.Errorf("GET by a client of the cluster = %q, %v", got, err)
	}
	m.Finish()
	if got := c.Owner(key); got != to {
		t.Errorf("owner = %s, want %s", got.Addr(), to.Addr())
	}
}

func TestClusterWithReplicas(t *testing.T) {
	t.Parallel()
	EachFlavor(t, func(t *testing.T, flavor Flavor) {
		begin := time.Now()
		c := StartCluster(t, 3, WithReplicas(1), WithBinary(flavor.Binary))
		t.Logf("started in %v", time.Since(begin))
		if len(c.Nodes()) != 6 || len(c.Addrs()) != 6 {
			t.Errorf("nodes %v", c.Addrs())
		}
		const key = "k"
		first := c.Owner(key)
		set(t, first, key, "v")
		if err := first.Client().Wait(t.Context(), 1, time.Second).Err(); err != nil {
			t.Fatal(err)
		}
		begin = time.Now()
		second := c.Failover(t, key)
		t.Logf("failover in %v", time.Since(begin))
		if second == first || c.Owner(key) != second {
			t.Errorf("owner after failover: %s, was %s", second.Addr(), first.Addr())
		}
		Eventually(t, "old master follows", func() bool {
			return first.field("replication", "master_link_status") == "up"
		})
		begin = time.Now()
		second.Kill()
		if third := c.AwaitOwner(t, key, second); third != first {
			t.Errorf("owner after kill: %s, want %s", third.Addr(), first.Addr())
		}
		t.Logf("failover after kill in %v", time.Since(begin))
		if got, err := first.Client().Get(t.Context(), key).Result(); err != nil || got != "v" {
			t.Errorf("GET = %q, %v; want v", got, err)
		}
		second.Restart()
		c.AwaitHealthy(t)
	})
}

func TestClusterReplacesPausedMaster(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3, WithReplicas(1))
	const key = "k"
	first := c.Owner(key)
	first.Pause()
	if second := c.AwaitOwner(t, key, first); second == first {
		t.Error("the paused master owns the key")
	}
	first.Resume()
	Eventually(t, "old master follows", func() bool { return first.field("replication", "role") == "slave" })
	c.AwaitHealthy(t)
}

func TestSlot(t *testing.T) {
	t.Parallel()
	single := settings{replicas: -1, role: role{cluster: true}} // a node answers this even without slots
	s := startFor(t, t.TempDir(), single)
	for _, key := range []string{"", "123456789", "foo{}{bar}", "foo{{bar}}zap", "foo{bar}{zap}",
		"{user1000}.following", "a}b{c"} {
		want, err := s.Client().ClusterKeySlot(t.Context(), key).Result()
		if err != nil || int64(Slot(key)) != want {
			t.Errorf("Slot(%q) = %d, want %d, %v", key, Slot(key), want, err)
		}
	}
}

// other returns a master that does not own key.
func other(c *Cluster, key string) *Server {
	owner := c.Owner(key)
	for _, node := range c.Nodes() {
		if node != owner {
			return node
		}
	}
	return nil
}
