package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// migrateBatch is how many keys one MIGRATE takes along.
const migrateBatch = 100

// SlotMove is a slot on its way from one master to another. Until [SlotMove.Finish] the old master serves the keys that
// it still has and answers ASK for others; to everybody else the slot is still the old master's.
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

// MoveSlot moves the slot of key with all its keys to another master, as an operator would (resharding), and returns when
// every living node knows its new owner. It does nothing if the slot is there already. It must be called from the
// goroutine of the test.
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

// BeginMove begins to move the slot of key to another master and leaves it in between, for tests of what clients do
// then. If that fails the test is marked as failed and nil returned.
func (c *Cluster) BeginMove(key string, to *Server) *SlotMove {
	c.tb.Helper()
	m := &SlotMove{cluster: c, slot: Slot(key), from: c.Owner(key), to: to}
	if m.from == nil {
		return nil
	}
	if m.from == to {
		c.tb.Errorf("redistest: slot %d is at %s already", m.slot, to.Addr())
		return nil
	}
	// In this order nobody is sent to a node that does not expect him.
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

// MoveKeys moves all keys that the slot has now. Keys that are written afterwards go to the new master.
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

// Finish hands the slot over, and returns when every living node knows its new owner. Keys that are still at the old
// master would be lost, so it moves them first. It must be called from the goroutine of the test.
func (m *SlotMove) Finish() {
	c := m.cluster
	c.tb.Helper()
	id := c.id(m.to)
	err := m.moveKeys()
	// The new owner first: a crash in between leaves the slot with an owner.
	for _, node := range append([]*Server{m.to, m.from}, c.masters()...) {
		err = errors.Join(err, node.do("CLUSTER", "SETSLOT", m.slot, "NODE", id))
	}
	if err != nil {
		c.tb.Errorf("redistest: finish the move of slot %d: %v", m.slot, err)
		return
	}
	c.await(c.tb, "every node knows where the slot is", func(v clusterView) bool { return v.owners[m.slot] == id })
}

// masters returns the living masters.
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
