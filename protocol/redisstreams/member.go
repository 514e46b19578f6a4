package redisstreams

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bounds of single commands.
const (
	commandTimeout = 2 * time.Second
	// transferTimeout is for scripts and pipelines whose reply holds entries, which may be large.
	transferTimeout = 25 * time.Second
	blockTime       = time.Second // of a blocking read: go-redis cannot interrupt one, so it is short
	scriptIDs       = 100         // ids that a script handles in one call, so that it never blocks Redis for long
)

// member identifies a consumer within its group. It does not change after NewConsumer, so all collaborators of the
// consumer share it without a lock.
type member struct {
	client redis.UniversalClient
	stream string
	group  string
	name   string
	lease  time.Duration
	log    *slog.Logger
	hooks  Hooks
}

// runScript runs a script on the stream.
func (m *member) runScript(ctx context.Context, script *script, args []any) *redis.Cmd {
	return m.runScriptFor(ctx, commandTimeout, script, args)
}

// runScriptFor runs a script whose reply may take longer.
func (m *member) runScriptFor(ctx context.Context, timeout time.Duration, script *script, args []any) *redis.Cmd {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return script.run(ctx, m.client, []string{m.stream}, args)
}

// reportTrimmed reports entries that were removed from the stream while they were pending.
func (m *member) reportTrimmed(ids []string) {
	if len(ids) == 0 {
		return
	}
	m.log.Error("entries were removed from the stream before they were acknowledged", "entries", len(ids), "first", ids[0])
	if m.hooks.Trimmed != nil {
		m.hooks.Trimmed(ids)
	}
}

// reportReclaimed reports entries that this member has taken over from others.
func (m *member) reportReclaimed(n int) {
	if n == 0 {
		return
	}
	m.log.Info("took over entries of a consumer that is gone", "entries", n)
	if m.hooks.Reclaimed != nil {
		m.hooks.Reclaimed(n)
	}
}

// reportRecreated reports that the lost group was created again.
func (m *member) reportRecreated(position string) {
	m.log.Warn("the consumer group had been lost and was created again", "position", position)
	if m.hooks.GroupRecreated != nil {
		m.hooks.GroupRecreated(position)
	}
}
