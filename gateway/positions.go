package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// What to do about a consumer group that has disappeared.
const (
	onLostResume   = "resume"
	onLostEarliest = "earliest"
	onLostLatest   = "latest"
	onLostFail     = "fail"
)

func onLostPolicies() []string {
	return []string{onLostResume, onLostEarliest, onLostLatest, onLostFail}
}

// lostGroup decides where the group is made, for [redisstreams.WithLostGroup]. Of what this replica remembers and what was
// saved for all it takes the lower: between the two something may be lost, and duplicates are not.
func (s *subscription) lostGroup(ctx context.Context, remembered string) (string, error) {
	saved, err := s.env.client.HGet(ctx, positionsKey(s.config.Stream), s.config.Name).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("look up the position: %w", err)
	}
	switch {
	case remembered == "" && saved == "":
		return "", nil // there never was one
	case s.config.OnGroupLost == onLostEarliest:
		return "0-0", nil
	case s.config.OnGroupLost == onLostLatest:
		return "$", nil
	case remembered == "" || saved != "" && redisstreams.CompareIDs(saved, remembered) < 0:
		remembered = saved
	}
	if s.config.OnGroupLost == onLostFail {
		return "", fmt.Errorf("%w; make it with XGROUP CREATE %s %s %s, or at another position (onGroupLost: fail)",
			redisstreams.ErrGroupLost, s.config.Stream, groupName(s.config.Name), remembered)
	}
	return remembered, nil
}

// idBefore returns the greatest id that is lower.
func idBefore(id string) string {
	millisText, seqText, _ := strings.Cut(id, "-")
	millis, _ := strconv.ParseUint(millisText, 10, 64)
	seq, _ := strconv.ParseUint(seqText, 10, 64)
	switch {
	case seq > 0:
		seq--
	case millis > 0:
		millis, seq = millis-1, math.MaxUint64
	}
	return strconv.FormatUint(millis, 10) + "-" + strconv.FormatUint(seq, 10)
}

// idAfter returns the least id that is greater.
func idAfter(id string) string {
	millisText, seqText, _ := strings.Cut(id, "-")
	millis, _ := strconv.ParseUint(millisText, 10, 64)
	seq, _ := strconv.ParseUint(seqText, 10, 64)
	if seq++; seq == 0 {
		millis++
	}
	return strconv.FormatUint(millis, 10) + "-" + strconv.FormatUint(seq, 10)
}

// lowerID returns the lower of two ids.
func lowerID(a, b string) string {
	if redisstreams.CompareIDs(a, b) < 0 {
		return a
	}
	return b
}
