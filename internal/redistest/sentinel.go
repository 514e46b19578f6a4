package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	masterName       = "test-master"
	sentinelCount    = 3
	sentinelQuorum   = 2
	failoverPatience = 5 * time.Second // between two requests for a failover
	commandTimeout   = 2 * time.Second // for commands of this package, some of which go to dying servers
)

// Sentinel is a master, its replicas and three sentinels that monitor them, each as a process. [StartSentinel] returns
// it. Its methods are safe for concurrent use. A paused process counts as dead.
type Sentinel struct {
	tb        testing.TB
	servers   []*Server // the first one is the initial master
	sentinels []*Server
}

// StartSentinel runs one master, one replica ([WithReplicas] changes the number) and three sentinels. It blocks until
// the replicas are connected and the sentinels know them and each other. The options apply to the master and its
// replicas; [WithBinary] applies to the sentinels as well. A master that does not answer for a second is considered
// dead. A server keeps the role that the sentinels gave it over [Server.Kill] and [Server.Restart]; one that was
// replaced meanwhile comes back as a master and is soon made a replica. It must be called from the goroutine of t,
// whose cleanup ends all processes.
func StartSentinel(t testing.TB, opts ...Option) *Sentinel {
	t.Helper()
	set := newSettings(opts)
	if set.replicas < 0 {
		set.replicas = 1
	}
	s := &Sentinel{tb: t}
	for i := range 1 + set.replicas {
		member := set
		member.args = append(replicationArgs(), set.args...)
		member.role.config = func(*Server) string {
			if i == 0 {
				return ""
			}
			return fmt.Sprintf("replicaof 127.0.0.1 %d\n", s.servers[0].port)
		}
		s.servers = append(s.servers, startFor(t, memberDir(t, member), member))
	}
	awaitReplicas(t, s.servers[0], set.replicas)
	for i := range sentinelCount {
		config := func(watcher *Server) string { return s.sentinelConfig(watcher, i) }
		watcher := settings{binary: set.binary, replicas: -1, role: role{sentinel: true, config: config}}
		s.sentinels = append(s.sentinels, startFor(t, memberDir(t, watcher), watcher))
	}
	s.announceEvery(t, 100*time.Millisecond)
	Eventually(t, "sentinels know each other and the replicas", func() bool { return s.complete(set.replicas) })
	s.announceEvery(t, 500*time.Millisecond)
	return s
}

// replicationArgs returns the arguments of masters and replicas. After a diskless copy, the master sends no new writes
// before the replica has acknowledged it, which takes up to a second; after a copy through a file it sends them at
// once. The file is deleted, because a restart would load it.
func replicationArgs() []string {
	return []string{"--repl-diskless-sync", "no", "--rdb-del-sync-files", "yes", "--repl-ping-replica-period", "1"}
}

// awaitReplicas blocks until n replicas have all data of master and receive new writes. That they report to be
// connected is not enough.
func awaitReplicas(t testing.TB, master *Server, n int) {
	t.Helper()
	if n == 0 {
		return
	}
	Eventually(t, "the replicas are in sync", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		defer cancel()
		pipe := master.client.Pipeline() // WAIT concerns only the writes of its own connection
		pipe.Publish(ctx, "redistest", "a value that replicas receive")
		acknowledged := pipe.Do(ctx, "WAIT", n, commandTimeout.Milliseconds()/2)
		_, err := pipe.Exec(ctx)
		got, _ := acknowledged.Int() // an error is that of Exec
		return err == nil && got >= n
	})
}

// memberDir returns the directory of one server of a group, in memory if the system offers that. Sentinels and nodes of
// a cluster sync what they learn to a file. On a busy disk that takes seconds, in which the others consider them dead.
// The append-only file of a server (WithAOF) can be too large for memory.
func memberDir(t testing.TB, set settings) string {
	t.Helper()
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err != nil || !info.IsDir() || slices.Contains(set.args, "--appendonly") {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "redistest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("redistest: %v", err)
		}
	})
	return dir
}

// sentinelConfig returns the configuration of sentinel number i. The sentinels consider the master dead one after the
// other: at the same time, each would vote for itself, none would be elected, and they would wait long before the next
// attempt.
func (s *Sentinel) sentinelConfig(watcher *Server, i int) string {
	return strings.NewReplacer("NAME", masterName).Replace(fmt.Sprintf(`port %d
bind 127.0.0.1
dir "%s"
daemonize no
sentinel monitor NAME 127.0.0.1 %d %d
sentinel down-after-milliseconds NAME %d
sentinel failover-timeout NAME 3000
sentinel parallel-syncs NAME 2
`, watcher.port, watcher.dir, s.servers[0].port, sentinelQuorum, 1000+400*i))
}

// announceEvery sets how often the sentinels publish what they know (2 s by default). With a short period they discover
// each other soon, but they also wait for only four periods before they undo a promotion of which they have not heard.
// It also shortens how often they query the roles of the servers (10 s), how often they send PING (1 s; a rare PING
// would make a healthy server look late, but a sentinel promotes no replica that was silent for five periods, and sends
// one per second during a failover), and how long they pause after the whole machine has stalled (30 s).
func (s *Sentinel) announceEvery(t testing.TB, period time.Duration) {
	t.Helper()
	for _, watcher := range s.sentinels {
		err := watcher.do("SENTINEL", "DEBUG", "publish-period", period.Milliseconds(), "info-period", 200,
			"ask-period", 200, "ping-period", 400, "tilt-period", 1000)
		if err != nil {
			t.Fatalf("redistest: speed a sentinel up: %v", err)
		}
	}
}

func (s *Sentinel) complete(replicas int) bool {
	for _, watcher := range s.sentinels {
		master, err := watcher.masterState()
		if err != nil || master["num-other-sentinels"] != strconv.Itoa(sentinelCount-1) ||
			master["num-slaves"] != strconv.Itoa(replicas) || master["flags"] != "master" {
			return false
		}
	}
	return true
}

// Addrs returns the hosts and ports of the sentinels, including dead ones.
func (s *Sentinel) Addrs() []string { return addrs(s.sentinels) }

// MasterName returns the name of the master in the sentinels.
func (s *Sentinel) MasterName() string { return masterName }

// Options returns new options for a client that finds the master through the sentinels. The caller may change them.
func (s *Sentinel) Options() *redis.UniversalOptions {
	return &redis.UniversalOptions{Addrs: s.Addrs(), MasterName: masterName}
}

// Sentinels returns the sentinels. Tests may kill, pause and restart them; a failover needs two of the three.
func (s *Sentinel) Sentinels() []*Server { return append([]*Server(nil), s.sentinels...) }

// Master returns the server that the first live sentinel names as the master, even if it is dead. If no sentinel
// answers, the test fails and Master returns nil.
func (s *Sentinel) Master() *Server {
	s.tb.Helper()
	for _, watcher := range s.sentinels {
		if !watcher.alive() {
			continue
		}
		if master := s.masterOf(watcher); master != nil {
			return master
		}
	}
	s.tb.Error("redistest: no sentinel knows the master")
	return nil
}

// Replicas returns the servers other than [Sentinel.Master], including dead ones.
func (s *Sentinel) Replicas() []*Server {
	s.tb.Helper()
	master := s.Master()
	var replicas []*Server
	for _, server := range s.servers {
		if server != master {
			replicas = append(replicas, server)
		}
	}
	return replicas
}

// Failover makes the sentinels promote a replica of a healthy master, and returns the new master like
// [Sentinel.AwaitMaster]. It must be called from the goroutine of t.
func (s *Sentinel) Failover(t testing.TB) *Server {
	t.Helper()
	former := s.Master()
	// A sentinel refuses while it sees no suitable replica or an earlier failover is not complete, and it may give up
	// later.
	again := every(failoverPatience)
	var master *Server
	Eventually(t, "the sentinels have failed over", func() bool {
		if master = s.newMaster(former); master != nil {
			return true
		}
		again(func() bool {
			return slices.ContainsFunc(s.sentinels, func(watcher *Server) bool {
				return watcher.alive() && watcher.do("SENTINEL", "FAILOVER", masterName) == nil
			})
		})
		return false
	})
	return master
}

// every returns a function that runs its argument on each call until that succeeds, and again a period after each
// success.
func every(period time.Duration) func(func() bool) {
	var last time.Time
	return func(f func() bool) {
		if time.Since(last) >= period && f() {
			last = time.Now()
		}
	}
}

// AwaitMaster blocks until all live sentinels name the same server other than former, and that server reports to be a
// master, and returns it. It does not wait until former has become a replica. It must be called from the goroutine of
// t.
func (s *Sentinel) AwaitMaster(t testing.TB, former *Server) *Server {
	t.Helper()
	var master *Server
	Eventually(t, "the sentinels have a new master", func() bool {
		master = s.newMaster(former)
		return master != nil
	})
	return master
}

// newMaster returns the master that the sentinels agree on and that reports to be one, or nil if there is none or it is
// former.
func (s *Sentinel) newMaster(former *Server) *Server {
	master := s.agreed()
	if master == nil || master == former || master.field("replication", "role") != "master" {
		return nil
	}
	return master
}

// agreed returns the server that all live sentinels name as the master, or nil.
func (s *Sentinel) agreed() *Server {
	var master *Server
	for _, watcher := range s.sentinels {
		if !watcher.alive() {
			continue
		}
		m := s.masterOf(watcher)
		if m == nil || master != nil && m != master {
			return nil
		}
		master = m
	}
	return master
}

func (s *Sentinel) masterOf(watcher *Server) *Server {
	state, err := watcher.masterState()
	if err != nil {
		return nil
	}
	return serverAt(s.servers, net.JoinHostPort(state["ip"], state["port"]))
}

// masterState queries a sentinel for the state of the master.
func (s *Server) masterState() (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := redis.NewMapStringStringCmd(ctx, "SENTINEL", "MASTER", masterName)
	if err := s.client.Process(ctx, cmd); err != nil {
		return nil, err
	}
	return cmd.Result()
}

// do runs a command and ignores its answer.
func (s *Server) do(args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	return s.client.Do(ctx, args...).Err()
}

// field returns one value of INFO, or "" if the server does not answer.
func (s *Server) field(section, name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	return infoField(s.client.Info(ctx, section).Val(), name)
}

// alive reports whether the process runs and is not paused.
func (s *Server) alive() bool {
	c := s.running()
	select {
	case <-c.done:
		return false
	default:
		return !c.paused.Load()
	}
}

func addrs(servers []*Server) []string {
	list := make([]string, len(servers))
	for i, s := range servers {
		list[i] = s.Addr()
	}
	return list
}

func serverAt(servers []*Server, addr string) *Server {
	for _, s := range servers {
		if s.Addr() == addr {
			return s
		}
	}
	return nil
}
