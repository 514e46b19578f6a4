package redisstreams_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const lastID = "18446744073709551615-18446744073709551615"

func TestNeighbouringIDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]struct{ previous, next string }{
		"0-0":                    {"0-0", "0-1"},
		"0-1":                    {"0-0", "0-2"},
		"5-0":                    {"4-18446744073709551615", "5-1"},
		"5-18446744073709551615": {"5-18446744073709551614", "6-0"},
		"5":                      {"4-18446744073709551615", "5-1"},
		lastID:                   {"18446744073709551615-18446744073709551614", lastID},
		"0":                      {"0-0", "0-1"},
		"":                       {"0-0", "0-1"},
		"$":                      {"0-0", "0-1"},
		"5-x":                    {"0-0", "0-1"},
		"18446744073709551616-5": {"0-0", "0-1"},
	} {
		if got := redisstreams.PreviousID(id); got != want.previous {
			t.Errorf("before %q: %s, want %s", id, got, want.previous)
		}
		if got := redisstreams.NextID(id); got != want.next {
			t.Errorf("after %q: %s, want %s", id, got, want.next)
		}
	}
}

func TestIDsAreOrdered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[0-9]{1,18}-[0-9]{1,18}`).Draw(t, "id")
		previous, next := redisstreams.PreviousID(id), redisstreams.NextID(id)
		if redisstreams.CompareIDs(next, id) <= 0 || redisstreams.CompareIDs(redisstreams.PreviousID(next), id) != 0 {
			t.Fatalf("after %s comes %s", id, next)
		}
		if redisstreams.CompareIDs(id, "0-0") > 0 &&
			(redisstreams.CompareIDs(previous, id) >= 0 || redisstreams.CompareIDs(redisstreams.NextID(previous), id) != 0) {
			t.Fatalf("before %s comes %s", id, previous)
		}
		if redisstreams.MinID(id, next) != id || redisstreams.MinID(next, id) != id {
			t.Fatalf("the lower of %s and %s is not the first one", id, next)
		}
		if !redisstreams.ValidID(id) || !redisstreams.ValidID(previous) || !redisstreams.ValidID(next) {
			t.Fatalf("one of %s, %s, %s is not valid", previous, id, next)
		}
	})
}

func TestValidID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"0-0": true, "1700000000123-0": true, lastID: true, "007-1": true,
		"": false, "-": false, "+": false, "$": false, ">": false, "5": false, "5-": false, "-5": false, "5-1-1": false, "(5-1": false,
		"+5-1": false, "5-+1": false, " 5-1": false, "5-1 ": false, "a-1": false, "5-b": false, "1_0-1": false,
		"18446744073709551616-0": false, "0-18446744073709551616": false,
	} {
		if got := redisstreams.ValidID(id); got != want {
			t.Errorf("%q: %t, want %t", id, got, want)
		}
	}
}
