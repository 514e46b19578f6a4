package delivery

import (
	"log/slog"
	"sync"
	"time"
)

// summaryPeriod is the time between two lines about dead letters of a subscription.
const summaryPeriod = time.Minute

// summary bounds what is logged about dead letters: the first one of a row at once, then at most one line in a period,
// with the number of those that have come up since. It is safe for concurrent use; its zero value is ready.
type summary struct {
	mu      sync.Mutex
	next    time.Time // before that only counted
	skipped int
	last    func(log *slog.Logger) // logs the last one that was skipped
	timer   *time.Timer
}

// note logs a dead letter, with a function that writes its line, or counts it.
func (s *summary) note(log *slog.Logger, write func(log *slog.Logger)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.next) && s.skipped == 0 {
		s.next = now.Add(summaryPeriod)
		write(log)
		return
	}
	s.skipped++
	s.last = write
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(s.next), func() { s.flush(log) })
	}
}

// flush logs what was counted. The caller of note must call it at the end.
func (s *summary) flush(log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if s.skipped > 0 {
		s.last(log.With("dead_letters", s.skipped))
		s.next, s.skipped = time.Now().Add(summaryPeriod), 0
	}
}
