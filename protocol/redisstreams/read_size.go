package redisstreams

// firstRead is how many entries are requested while their size is unknown.
const firstRead = 8

// readSizer decides how many entries a read requests, so that a reply does not become much larger than replyBytes.
// Redis cannot bound a reply by bytes before 8.10, so the size of the next entries is estimated from the last ones, and
// the number grows only as fast as they prove to be small. A reply exceeds the bound only when entries suddenly become
// larger.
type readSizer struct {
	allowed int // doubles with every full reply
	largest int // the largest recent entry, in bytes
}

func newReadSizer() readSizer { return readSizer{allowed: firstRead} }

// count returns how many entries to request for a caller who wants n.
func (s *readSizer) count(n int) int {
	return max(1, min(n, s.allowed, replyBytes/max(s.largest, 1)))
}

// expectedBytes estimates the size of a reply with so many entries.
func (s *readSizer) expectedBytes(count int) int { return count * max(s.largest, 1<<10) }

// note takes the sizes of received entries into account.
func (s *readSizer) note(batch []*Delivery) {
	largest := 0
	for _, d := range batch {
		largest = max(largest, d.size())
	}
	s.largest = max(largest, s.largest-s.largest/8)
	if len(batch) >= s.allowed {
		s.allowed = min(2*s.allowed, 1<<20)
	}
}

// restart begins again with small reads: a reply was lost, perhaps because it was too large to arrive in time.
func (s *readSizer) restart() { s.allowed = 1 }
