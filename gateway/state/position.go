package state

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// ErrPosition is returned for what is neither an entry id, nor a time, nor a word for a place in a stream.
var ErrPosition = errors.New("no position in a stream")

// StartPosition translates startFrom into a position for a consumer group.
func StartPosition(s string) (string, error) {
	switch s {
	case "latest":
		return "$", nil
	case "earliest":
		return "0", nil
	}
	if regexp.MustCompile(`^[0-9]{1,19}(-[0-9]{1,19})?$`).MatchString(s) {
		return s, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return redisstreams.StartAt(t), nil
	}
	return "", fmt.Errorf("%q is %w", s, ErrPosition)
}
