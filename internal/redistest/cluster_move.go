package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// migrateBatch is the number of keys in one MIGRATE.
const migrateBatch = 100

// SlotMove is a slot that migrates from one master to another. Until [SlotMove.Finish] the slot belongs to the old
// master, which serves the keys that it still has and answers ASK for the others.
type SlotMove struct {
	cluster  *Cluster
	slot     int
	from, to *Server
}

// Slot returns the slot of key, by its hash tag if it has one.
func Slot(key string) int {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16 // CRC-16/XMODEM, from the cluster specification
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slotCount
}

// MoveSlot moves the slot of key with all its keys to another master, as resharding does, and blocks until every live
// node knows the new owner. It does nothing if that master has the slot already. It must be called from the goroutine
// of the test.
func (c *Cluster) MoveSlot(key string, to *Server) {
	c.tb.Helper()
	if c.Owner(key) == to {
		return
	}
	if m := c.BeginMove(key, to); m != nil {
		m.MoveKeys()
		m.Finish()
	}
}

// BeginMove begins to move the slot of key to another master and leaves it in the migrating state, to test how clients
// behave then. On an error it marks the test as failed and returns nil.
func (c *Cluster) BeginMove(key string, to *Server) *SlotMove {
	c.tb.Helper()
	m := &SlotMove{cluster: c, slot: Slot(key), from: c.Owner(key), to: to}
	if m.from == nil {
		return nil
	}
	if m.from == to {
		c.tb.Errorf("redistest: slot %d already belongs to %s", m.slot, to.Addr())
		return nil
	}
	// In this order no client is redirected to a node that does not expect the slot.
	err := to.do("CLUSTER", "SETSLOT", m.slot, "IMPORTING", c.id(m.from))
	if err == nil {
		err = m.from.do("CLUSTER", "SETSLOT", m.slot, "MIGRATING", c.id(to))
	}
	if err != nil {
		c.tb.Errorf("redistest: begin to move slot %d: %v", m.slot, err)
		return nil
	}
	return m
}

// MoveKeys moves all current keys of the slot. Keys that are written afterwards go to the new master.
func (m *SlotMove) MoveKeys() {
	m.cluster.tb.Helper()
	if err := m.moveKeys(); err != nil {
		m.cluster.tb.Errorf("redistest: move keys of slot %d: %v", m.slot, err)
	}
}

func (m *SlotMove) moveKeys() error {
	ctx, cancel := context.WithTimeout(context.Background(), awaitTimeout)
	defer cancel()
	for {
		keys, err := m.from.client.ClusterGetKeysInSlot(ctx, m.slot, migrateBatch).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		args := []any{"MIGRATE", "127.0.0.1", m.to.port, "", 0, commandTimeout.Milliseconds(), "KEYS"}
		for _, key := range keys {
			args = append(args, key)
		}
		if err := m.from.client.Do(ctx, args...).Err(); err != nil {
			return fmt.Errorf("migrate %d keys: %w", len(keys), err)
		}
	}
}

// Finish completes the move and blocks until every live node knows the new owner. It first moves the remaining keys,
// which would be lost otherwise. It must be called from the goroutine of the test.
func (m *SlotMove) Finish() {
	c := m.cluster
	c.tb.Helper()
	id := c.id(m.to)
	err := m.moveKeys()
	// The new owner first: after a crash in between, the slot still has an owner.
	for _, node := range append([]*Server{m.to, m.from}, c.masters()...) {
		err = errors.Join(err, node.do("CLUSTER", "SETSLOT", m.slot, "NODE", id))
	}
	if err != nil {
		c.tb.Errorf("redistest: finish the move of slot %d: %v", m.slot, err)
		return
	}
	c.await(c.tb, "every node knows the new owner of the slot", func(v clusterView) bool {
		return v.owners[m.slot] == id
	})
}

// masters returns the live masters.
func (c *Cluster) masters() []*Server {
	var list []*Server
	for _, node := range c.nodes {
		if !node.alive() {
			continue
		}
		if v, err := node.view(); err == nil && v.self.master == "-" {
			list = append(list, node)
		}
	}
	return list
}
