package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

func (s *Sender) durable() bool { return s.kindsOfDurability() > 0 }

func (s *Sender) kindsOfDurability() (n int) {
	if s.fsync {
		n++
	}
	if s.replicas > 0 {
		n++
	}
	return n
}

// send writes a batch: several writes of one event each, or one write of several events. It sets the ids and errors.
func (s *Sender) send(ctx context.Context, batch []*write) {
	by, err := s.howToFsync(ctx)
	if err != nil {
		fail(batch, err)
		return
	}
	_, isCluster := s.client.(*redis.ClusterClient)
	switch {
	case s.dedup > 0,
		isCluster && batch[0].atomic: // a transaction cannot follow ASK while a slot is moving; a script can
		s.sendOnce(ctx, batch, by)
	case batch[0].atomic:
		s.sendAtomically(ctx, batch[0], by)
	default:
		s.sendEach(ctx, batch, by)
	}
	for _, w := range batch {
		if w.err == nil {
			s.noteTime(w.ids[len(w.ids)-1])
		}
	}
}

func fail(batch []*write, err error) {
	for _, w := range batch {
		w.err = err
	}
}

func (s *Sender) sendEach(ctx context.Context, batch []*write, by fsyncMode) {
	commands := make([]redis.Cmder, len(batch), len(batch)+2)
	for i, w := range batch {
		commands[i] = once{redis.NewStringCmd(ctx, w.items[0].args...)}
	}
	waitErr := s.execute(ctx, commands, by)
	for i, w := range batch {
		id, err := commands[i].(once).Cmder.(*redis.StringCmd).Result()
		w.setID(0, id)
		if w.err = err; err == nil {
			w.err = waitErr
		}
	}
}

// sendAtomically writes the items in MULTI/EXEC: Redis runs and logs them as one, and refuses all where it refuses one
// (OOM, READONLY).
func (s *Sender) sendAtomically(ctx context.Context, w *write, by fsyncMode) {
	if w.err = s.checkTransactions(ctx); w.err != nil {
		return
	}
	commands := make([]redis.Cmder, 0, len(w.items)+4)
	commands = append(commands, once{redis.NewStatusCmd(ctx, "multi")})
	for i := range w.items {
		commands = append(commands, once{redis.NewStatusCmd(ctx, w.items[i].args...)}) // the reply is QUEUED
	}
	exec := redis.NewSliceCmd(ctx, "exec")
	commands = append(commands, once{exec})
	waitErr := s.execute(ctx, commands, by)
	ids, err := exec.Result()
	if err != nil {
		if w.err = firstError(commands); w.err == nil {
			w.err = err
		}
		s.transactions.Store(false)
		return
	}
	for i, id := range ids {
		text, ok := id.(string)
		if !ok {
			// The answer of Redis stays recognizable as one, so that other callers do not fail because of it.
			refusal, isError := id.(error)
			if !isError {
				refusal = fmt.Errorf("unexpected reply of type %T", id)
			}
			w.err = fmt.Errorf("entry %d of %d: %w", i, len(ids), refusal)
			return
		}
		w.setID(i, text)
	}
	if len(ids) != len(w.items) {
		w.err = fmt.Errorf("EXEC answered %d of %d", len(ids), len(w.items))
		return
	}
	w.err = waitErr
}

// checkTransactions finds out, once, whether the user may use MULTI: without it, the commands would run one by one.
func (s *Sender) checkTransactions(ctx context.Context) error {
	if s.transactions.Load() {
		return nil
	}
	commands := []redis.Cmder{once{redis.NewStatusCmd(ctx, "multi")}, once{redis.NewSliceCmd(ctx, "exec")}}
	run(ctx, s.client, commands)
	if err := firstError(commands); err != nil {
		return err
	}
	s.transactions.Store(true)
	return nil
}

func firstError(commands []redis.Cmder) error {
	for _, cmd := range commands {
		if err := cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}

// execute runs the commands in one pipeline on one connection, and then waits for durability. The commands carry their
// own errors; the error returned is that of the wait.
func (s *Sender) execute(ctx context.Context, commands []redis.Cmder, by fsyncMode) error {
	waits := s.waits(ctx, by)
	commands = append(commands, waits...)
	if cluster, ok := s.client.(*redis.ClusterClient); ok && keyless(commands) {
		s.onMaster(ctx, cluster, commands)
	} else {
		s.onClient(ctx, commands)
	}
	return s.confirmed(waits)
}

// keyless reports whether some of the commands name no key, so that go-redis cannot tell which node they belong to. It
// routes all others by itself, and follows ASK while a slot is moving.
func keyless(commands []redis.Cmder) bool {
	return slices.ContainsFunc(commands, func(cmd redis.Cmder) bool {
		return slices.Contains([]string{"multi", "wait", "waitaof"}, cmd.Name())
	})
}

// whileMoving repeats an attempt while it reports that a Cluster slot is moving, as long as ctx leaves time for it.
func whileMoving(ctx context.Context, attempt func() (moving bool)) {
	pauses := backoff{least: 5 * time.Millisecond, most: 100 * time.Millisecond}
	for attempt() && timeFor(ctx, 2*pauses.next()) {
		pauses.pause(ctx)
	}
}

// onClient runs the commands. It repeats a script that was refused because its keys are on both sides of a moving slot:
// go-redis, which follows MOVED and ASK by itself, does not repeat commands that are sent at most once.
func (s *Sender) onClient(ctx context.Context, commands []redis.Cmder) {
	whileMoving(ctx, func() bool {
		run(ctx, s.client, commands)
		return len(commands) == 1 && redis.IsTryAgainError(commands[0].Err())
	})
}

// timeFor reports whether ctx lasts for d.
func timeFor(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) >= d
}

// onMaster runs the commands on the Cluster node that has the stream: MULTI and WAIT name no key, so go-redis would
// send them to any node. If the slot has moved, nothing was written, and the commands go to its new node.
func (s *Sender) onMaster(ctx context.Context, cluster *redis.ClusterClient, commands []redis.Cmder) {
	whileMoving(ctx, func() bool {
		node, err := cluster.MasterForKey(ctx, s.stream)
		if err != nil {
			for _, cmd := range commands {
				cmd.SetErr(err)
			}
			return false
		}
		run(ctx, node, commands)
		if !redirected(commands) {
			return false
		}
		cluster.ReloadState(ctx)
		return true
	})
}

// redirected reports whether the commands had no effect because the node does not have the slot, or not yet: every one
// that names the key was refused.
func redirected(commands []redis.Cmder) bool {
	found := false
	for _, cmd := range commands {
		switch cmd.Name() {
		case "xadd", "evalsha", "eval":
			_, moved := redis.IsMovedError(cmd.Err())
			_, ask := redis.IsAskError(cmd.Err())
			if !moved && !ask && !redis.IsTryAgainError(cmd.Err()) {
				return false
			}
			found = true
		}
	}
	return found
}

// waits returns the commands that wait until the writes of this connection are durable.
func (s *Sender) waits(ctx context.Context, by fsyncMode) []redis.Cmder {
	var list []redis.Cmder
	if s.replicas > 0 {
		list = append(list, once{redis.NewIntCmd(ctx, "wait", s.replicas, s.patience.Milliseconds())})
	}
	if by == fsyncByCommand {
		list = append(list, once{redis.NewIntSliceCmd(ctx, "waitaof", 1, 0, s.patience.Milliseconds())})
	}
	return list
}

func (s *Sender) confirmed(waits []redis.Cmder) error {
	for _, cmd := range waits {
		got, wanted, who := int64(0), int64(1), "the server's disk"
		var err error
		switch c := cmd.(once).Cmder.(type) {
		case *redis.IntCmd:
			got, err = c.Result()
			wanted, who = int64(s.replicas), "replicas"
		case *redis.IntSliceCmd:
			var counts []int64
			if counts, err = c.Result(); len(counts) > 0 {
				got = counts[0]
			}
		}
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrNotDurable, err)
		case got < wanted:
			return fmt.Errorf("%w: %d of %d (%s)", ErrNotDurable, got, wanted, who)
		}
	}
	return nil
}

// fsyncMode is how a server guarantees that acknowledged writes are on its disk.
type fsyncMode int

const (
	fsyncUnknown   fsyncMode = iota
	fsyncByCommand           // WAITAOF confirms it
	fsyncAlways              // appendfsync is always: an acknowledgement implies it
)

// howToFsync finds out, before anything is written, how the server confirms that an entry is on its disk, if the sender
// waits for that.
func (s *Sender) howToFsync(ctx context.Context) (fsyncMode, error) {
	if !s.fsync {
		return fsyncUnknown, nil
	}
	s.mu.Lock()
	by := s.fsyncBy
	s.mu.Unlock()
	if by != fsyncUnknown {
		return by, nil
	}
	server, err := masterOf(ctx, s.client, s.stream)
	if err != nil {
		return fsyncUnknown, err
	}
	if by, err = fsyncModeOf(ctx, server); err != nil {
		return fsyncUnknown, err
	}
	s.mu.Lock()
	s.fsyncBy = by
	s.mu.Unlock()
	return by, nil
}

func fsyncModeOf(ctx context.Context, server redis.UniversalClient) (fsyncMode, error) {
	err := server.Do(ctx, "waitaof", 1, 0, 1).Err()
	switch {
	case err == nil:
		return fsyncByCommand, nil
	case !IsReply(err):
		return fsyncUnknown, err
	case IsReply(err, replyNoAOF):
		return fsyncUnknown, fmt.Errorf("%w: durability fsync requires an append-only file: %w", ErrUnsupported, err)
	case !IsReply(err, replyNoCommand):
		return fsyncUnknown, err // LOADING, a replica: this says nothing about what the server supports
	}
	settings, err := server.ConfigGet(ctx, "append*").Result()
	if err != nil && !IsReply(err) {
		return fsyncUnknown, err
	}
	if settings["appendonly"] == "yes" && settings["appendfsync"] == "always" {
		return fsyncAlways, nil
	}
	return fsyncUnknown, errors.Join(fmt.Errorf("%w: durability fsync requires WAITAOF (Redis 7.2 or Valkey), "+
		"or appendonly yes with appendfsync always", ErrUnsupported), err)
}
