package redisstreams

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// hubCommand is a command that waits for a pipeline of the hub.
type hubCommand struct {
	cmd   redis.Cmder
	bytes int // what its reply may hold
	done  chan struct{}
}

// process runs one command, in a pipeline with others that come at the same time. bytes is what its reply may hold. It
// returns when the command has its result.
func (h *Hub) process(cmd redis.Cmder, bytes int) {
	own := &hubCommand{cmd: cmd, bytes: bytes, done: make(chan struct{})}
	h.mu.Lock()
	h.queue = append(h.queue, own)
	lead := h.flushing < hubPipelines
	if lead {
		h.flushing++
	}
	h.mu.Unlock()
	if lead {
		h.flush()
	}
	<-own.done
}

// flush runs pipelines until nothing is queued.
func (h *Hub) flush() {
	for {
		batch := h.take()
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), transferTimeout)
		commands := make([]redis.Cmder, len(batch))
		for i := range batch {
			commands[i] = batch[i].cmd
		}
		run(ctx, h.client, commands)
		cancel()
		for i := range batch {
			close(batch[i].done)
		}
	}
}

// take removes the commands of the next pipeline from the queue. If there are none, the caller's turn has ended.
func (h *Hub) take() []*hubCommand {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, bytes := 0, 0
	for n < len(h.queue) && n < hubCommands && (n == 0 || bytes+h.queue[n].bytes <= hubBytes) {
		bytes += h.queue[n].bytes
		n++
	}
	batch := h.queue[:n:n]
	if h.queue = h.queue[n:]; len(h.queue) == 0 {
		h.queue = nil
	}
	if n == 0 {
		h.flushing--
	}
	return batch
}
