package redistest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const slotCount = 16384

// Cluster is a Redis Cluster of processes on this machine. [StartCluster] returns it. Its methods are safe for
// concurrent use, but only one goroutine at a time should change the topology.
type Cluster struct {
	tb    testing.TB
	nodes []*Server // the masters first
	size  int       // how many began as masters
}

// StartCluster runs a cluster of at least three masters, which share the slots evenly, and blocks until every node
// reports a complete cluster. There are no replicas unless [WithReplicas] gives their number per master. The options
// apply to every node. A master that does not answer for 1.5 seconds is replaced by its replica. Without one, the whole
// cluster refuses commands until the master is back, which is empty then without [WithAOF]. StartCluster must be called
// from the goroutine of t, whose cleanup ends the cluster.
func StartCluster(t testing.TB, masters int, opts ...Option) *Cluster {
	t.Helper()
	set := newSettings(opts)
	set.replicas = max(set.replicas, 0)
	set.role.cluster = true
	if masters < 3 || set.tls {
		t.Fatal("redistest: a cluster needs at least three masters, and TLS is not supported")
	}
	c := &Cluster{tb: t, size: masters}
	for range masters * (1 + set.replicas) {
		c.nodes = append(c.nodes, startFor(t, memberDir(t, set), set))
	}
	if err := c.join(); err != nil {
		t.Fatalf("redistest: join cluster: %v", err)
	}
	c.await(t, "nodes know each other", func(v clusterView) bool { return v.size == len(c.nodes) })
	for i, replica := range c.nodes[masters:] {
		if err := replica.do("CLUSTER", "REPLICATE", c.id(c.nodes[i%masters])); err != nil {
			t.Fatalf("redistest: replicate: %v", err)
		}
	}
	for _, master := range c.nodes[:masters] {
		awaitReplicas(t, master, set.replicas)
	}
	c.AwaitHealthy(t)
	return c
}

// clusterArgs returns the arguments of a node. The default port of the bus is 10000 above that of the node, which is in
// the range of outgoing connections (see freePort).
func clusterArgs(busPort int) []string {
	return append(replicationArgs(),
		"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(busPort), "--cluster-config-file", "nodes.conf",
		"--cluster-node-timeout", "1500", "--cluster-replica-validity-factor", "0")
}

// join assigns the slots to the masters and introduces every node to every other one, which is faster than gossip.
func (c *Cluster) join() error {
	masters := c.size
	for i, node := range c.nodes {
		if err := node.do("CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil {
			return err
		}
		if i < masters {
			first, end := i*slotCount/masters, (i+1)*slotCount/masters
			if err := node.do("CLUSTER", "ADDSLOTSRANGE", first, end-1); err != nil {
				return err
			}
		}
		for _, other := range c.nodes[:i] {
			if err := node.do("CLUSTER", "MEET", "127.0.0.1", other.port, other.busPort); err != nil {
				return err
			}
		}
	}
	return nil
}

// Addrs returns the hosts and ports of all nodes, including dead ones.
func (c *Cluster) Addrs() []string { return addrs(c.nodes) }

// Options returns new options for a client of the cluster, which the caller may change.
func (c *Cluster) Options() *redis.UniversalOptions {
	return &redis.UniversalOptions{Addrs: c.Addrs(), IsClusterMode: true}
}

// Nodes returns all nodes: the initial masters, then the replicas in the order of their masters. Tests may kill, pause
// and restart them.
func (c *Cluster) Nodes() []*Server { return append([]*Server(nil), c.nodes...) }

// Owner returns the live master that serves the slot of key. If there is none, the test fails and Owner returns nil.
func (c *Cluster) Owner(key string) *Server {
	c.tb.Helper()
	owner := c.ownerOf(Slot(key))
	if owner == nil {
		c.tb.Errorf("redistest: no live node has slot %d", Slot(key))
	}
	return owner
}

// Failover promotes a replica of the owner of key, and returns it when every live node knows the new owner. It requires
// [WithReplicas] and must be called from the goroutine of t.
func (c *Cluster) Failover(t testing.TB, key string) *Server {
	t.Helper()
	former := c.Owner(key)
	if former == nil {
		t.FailNow()
	}
	if len(c.nodes) == c.size {
		t.Fatal("redistest: a cluster without replicas cannot fail over; start it WithReplicas")
	}
	id := c.id(former)
	again := every(failoverPatience)
	Eventually(t, "a replica has failed over", func() bool {
		if owner := c.ownerOf(Slot(key)); owner != nil && owner != former {
			return true
		}
		again(func() bool {
			replica := c.replicaOf(id)
			return replica != nil && replica.do("CLUSTER", "FAILOVER") == nil
		})
		return false
	})
	return c.AwaitOwner(t, key, former)
}

// replicaOf returns a live replica of the master with that id, or nil.
func (c *Cluster) replicaOf(id string) *Server {
	for _, node := range c.nodes {
		if !node.alive() {
			continue
		}
		if v, err := node.view(); err == nil && v.self.master == id {
			return node
		}
	}
	return nil
}

// AwaitOwner blocks until a master other than former owns the slot of key and every live node reports a complete
// cluster, and returns that master. It is for use after [Server.Kill] of a master with a replica, from the goroutine of
// t.
func (c *Cluster) AwaitOwner(t testing.TB, key string, former *Server) *Server {
	t.Helper()
	var owner *Server
	Eventually(t, "the key has a new owner", func() bool {
		owner = c.ownerOf(Slot(key))
		return owner != nil && owner != former
	})
	id := c.id(owner)
	c.await(t, "every node knows the new owner", func(v clusterView) bool { return v.ok && v.owners[Slot(key)] == id })
	return owner
}

// AwaitHealthy blocks until every live node reports that all slots are served. It must be called from the goroutine of
// t.
func (c *Cluster) AwaitHealthy(t testing.TB) {
	t.Helper()
	c.await(t, "cluster_state:ok on every node", func(v clusterView) bool { return v.ok && len(v.owners) == slotCount })
}

// await blocks until condition holds for the view of every live node.
func (c *Cluster) await(t testing.TB, what string, condition func(clusterView) bool) {
	t.Helper()
	Eventually(t, what, func() bool {
		for _, node := range c.nodes {
			if !node.alive() {
				continue
			}
			if v, err := node.view(); err != nil || !condition(v) {
				return false
			}
		}
		return true
	})
}

// id returns the id of a live node in the cluster.
func (c *Cluster) id(node *Server) string {
	c.tb.Helper()
	v, err := node.view()
	if err != nil {
		c.tb.Errorf("redistest: ask %s for its id: %v", node.Addr(), err)
	}
	return v.self.id
}

// ownerOf returns the live master that claims slot. After a failover the old master may claim it as well, until it
// learns of the new one, which has a higher epoch.
func (c *Cluster) ownerOf(slot int) *Server {
	var owner *Server
	newest := -1
	for _, node := range c.nodes {
		if !node.alive() {
			continue
		}
		v, err := node.view()
		if err == nil && v.owners[slot] == v.self.id && v.self.epoch > newest {
			owner, newest = node, v.self.epoch
		}
	}
	return owner
}

// clusterView is the cluster as one node sees it.
type clusterView struct {
	ok     bool           // the node accepts commands
	size   int            // nodes to which it is connected
	self   clusterNode    // the node itself
	owners map[int]string // slot to the id of its master
}

type clusterNode struct {
	id, master string // master is "-" for a master
	epoch      int
}

func (s *Server) view() (clusterView, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	info, err := s.client.ClusterInfo(ctx).Result()
	if err != nil {
		return clusterView{}, err
	}
	nodes, err := s.client.ClusterNodes(ctx).Result()
	if err != nil {
		return clusterView{}, err
	}
	v := clusterView{ok: infoField(info, "cluster_state") == "ok", owners: make(map[int]string)}
	for line := range strings.Lines(nodes) {
		if err := v.add(strings.Fields(line)); err != nil {
			return clusterView{}, fmt.Errorf("read CLUSTER NODES: %w", err)
		}
	}
	return v, nil
}

// add parses one line of CLUSTER NODES: id, address, flags, master, ping, pong, epoch, link, slots. Migrating slots are
// in brackets; they still belong to the node they come from.
func (v *clusterView) add(fields []string) error {
	if len(fields) < 8 {
		return fmt.Errorf("line %q is too short", fields)
	}
	flags := "," + fields[2] + ","
	if strings.Contains(flags, ",handshake,") || strings.Contains(flags, ",noaddr,") {
		return nil
	}
	if fields[7] == "connected" {
		v.size++
	}
	if strings.Contains(flags, ",myself,") {
		epoch, err := strconv.Atoi(fields[6])
		if err != nil {
			return err
		}
		v.self = clusterNode{id: fields[0], master: fields[3], epoch: epoch}
	}
	for _, slots := range fields[8:] {
		if strings.HasPrefix(slots, "[") {
			continue
		}
		first, last, isRange := strings.Cut(slots, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return err
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			return err
		}
		for slot := from; slot <= to; slot++ {
			v.owners[slot] = fields[0]
		}
	}
	return nil
}
