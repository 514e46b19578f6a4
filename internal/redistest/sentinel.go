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
	failoverPatience = 5 * time.Second // after which a failover that was asked for is asked for again
	commandTimeout   = 2 * time.Second // for the harness's own commands, some of which go to dying servers
)

// Sentinel is a master, its replicas and three sentinels that watch over them, all processes of their own. Its methods
// are safe for concurrent use. A paused process counts as dead. Only [StartSentinel] makes one.
type Sentinel struct {
	tb        testing.TB
	servers   []*Server // the first one began as the master
	sentinels []*Server
}

// StartSentinel runs one master, one replica ([WithReplicas] changes that) and three sentinels, and returns when the
// replicas are connected and the sentinels know them and each other. The options go to the master and its replicas;
// [WithBinary] counts for the sentinels too. A master that does not answer for a second is taken for dead. After
// [Server.Kill] and [Server.Restart] a server remembers what the sentinels made of it; one that was replaced meanwhile
// comes back as a master and is made a replica soon. It must be called from the goroutine of t, whose end ends them all.
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

// replicationArgs are for servers that have replicas or are some. A copy that is streamed is not followed by new writes
// before the replica has acknowledged it, which it does once a second; one that goes through a file is, at once. The file
// does not stay, for it would come back as data after a restart.
func replicationArgs() []string {
	return []string{"--repl-diskless-sync", "no", "--rdb-del-sync-files", "yes", "--repl-ping-replica-period", "1"}
}

// awaitReplicas returns when n replicas have what master has, and get what is written from now on. That they say to be
// connected is not enough.
func awaitReplicas(t testing.TB, master *Server, n int) {
	t.Helper()
	if n == 0 {
		return
	}
	Eventually(t, "replicas are in step", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		defer cancel()
		pipe := master.client.Pipeline() // WAIT is about what its own connection has written
		pipe.Publish(ctx, "redistest", "something that replicas get")
		acknowledged := pipe.Do(ctx, "WAIT", n, commandTimeout.Milliseconds()/2)
		_, err := pipe.Exec(ctx)
		got, _ := acknowledged.Int() // an error is that of Exec
		return err == nil && got >= n
	})
}

// memberDir returns the directory of one server of a group, in memory where the system has a place for that. Sentinels
// and nodes of a cluster write what they learn to a file and wait for the disk. On a busy one that takes seconds, in which
// the others take them for dead. What a server writes by itself (WithAOF) can be too much for there.
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

// sentinelConfig makes the configuration of the sentinel number i. They take the master for dead one after the other: all
// at once each of them would vote for itself, nobody would be elected, and they would wait long before they tried again.
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

// announceEvery sets how often the sentinels tell each other what they know (2 s by default). A short period makes them
// find each other soon, but they also wait for only four of them before they undo a promotion of which they have not
// heard. It shortens as well how often they ask the servers for their role (10 s), how often for an answer at all (1 s, and
// a server must not be late for having been asked late; but they promote no replica of which they have not heard for five
// of these, and during a failover they ask once a second), and how long they do nothing after the whole machine has
// stalled (30 s).
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

// Addrs returns the hosts and ports of the sentinels, also of dead ones.
func (s *Sentinel) Addrs() []string { return addrs(s.sentinels) }

// MasterName returns the name by which the sentinels know the master.
func (s *Sentinel) MasterName() string { return masterName }

// Options returns new options for a client that asks the sentinels for the master. The caller may change them.
func (s *Sentinel) Options() *redis.UniversalOptions {
	return &redis.UniversalOptions{Addrs: s.Addrs(), MasterName: masterName}
}

// Sentinels returns the servers that watch. They may be killed, paused and restarted; two of three are needed for a
// failover.
func (s *Sentinel) Sentinels() []*Server { return append([]*Server(nil), s.sentinels...) }

// Master returns the server that the first living sentinel takes for the master, even if it is dead. The test fails, and
// it returns nil, if no sentinel answers.
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

// Replicas returns the servers other than [Sentinel.Master], also dead ones.
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

// Failover makes the sentinels promote a replica of a healthy master, and returns the new master when
// [Sentinel.AwaitMaster] would. It must be called from the goroutine of t.
func (s *Sentinel) Failover(t testing.TB) *Server {
	t.Helper()
	former := s.Master()
	// A sentinel refuses while it does not see a good replica or an earlier failover is not quite over, and it may give up.
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

// every returns a function that runs what it is given until that succeeds, and again when period has passed since.
func every(period time.Duration) func(func() bool) {
	var last time.Time
	return func(f func() bool) {
		if time.Since(last) >= period && f() {
			last = time.Now()
		}
	}
}

// AwaitMaster returns the new master when all living sentinels name the same server, which is not former and which takes
// itself for the master too. It does not wait until former has become a replica. It must be called from the goroutine
// of t.
func (s *Sentinel) AwaitMaster(t testing.TB, former *Server) *Server {
	t.Helper()
	var master *Server
	Eventually(t, "the sentinels have a new master", func() bool {
		master = s.newMaster(former)
		return master != nil
	})
	return master
}

// newMaster returns the master on which the sentinels and it agree, or nil if that is still former.
func (s *Sentinel) newMaster(former *Server) *Server {
	master := s.agreed()
	if master == nil || master == former || master.field("replication", "role") != "master" {
		return nil
	}
	return master
}

// agreed returns what all living sentinels take for the master, or nil.
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

// masterState asks a sentinel about the master.
func (s *Server) masterState() (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := redis.NewMapStringStringCmd(ctx, "SENTINEL", "MASTER", masterName)
	if err := s.client.Process(ctx, cmd); err != nil {
		return nil, err
	}
	return cmd.Result()
}

// do runs a command whose answer does not matter.
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

// alive tells if the process is there and not paused.
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
