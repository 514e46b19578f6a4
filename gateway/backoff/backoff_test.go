package backoff_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgate/streamgate/gateway/backoff"
)

func TestSleepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		if !backoff.Sleep(t.Context(), time.Hour) {
			t.Error("an undisturbed sleep was cut short")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if backoff.Sleep(ctx, time.Hour) {
			t.Error("a sleep outlived its context")
		}
		if took := time.Since(started); took != time.Hour+time.Minute {
			t.Errorf("slept %s", took)
		}
	})
}

func TestPausesGrowWithinTheirBounds(t *testing.T) {
	t.Parallel()
	pauses := backoff.Policy{First: 100 * time.Millisecond, Max: time.Second}.Pauses()
	for range 3 {
		for i, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			want *= time.Millisecond
			if got := pauses.Next(); got < want/2 || got > want {
				t.Errorf("pause %d is %s, not between %s and %s", i, got, want/2, want)
			}
		}
		pauses.Reset()
	}
	for _, d := range []time.Duration{0, 1, 2, -5} {
		if got := backoff.Jitter(d); got < 0 || got > max(d, 0) {
			t.Errorf("Jitter(%d) = %d", d, got)
		}
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	policy := backoff.Policy{First: time.Second, Max: time.Minute}
	errDown, errFinal := errors.New("down"), errors.New("final")
	for name, test := range map[string]struct {
		answers []error // the last one is repeated
		want    error
		told    int
	}{
		"at once":         {[]error{nil}, nil, 0},
		"after failures":  {[]error{errDown, errFinal, errDown, nil}, nil, 1},
		"permanent":       {[]error{errDown, backoff.Permanent(errFinal)}, errFinal, 1},
		"permanent first": {[]error{backoff.Permanent(errFinal)}, errFinal, 0},
		"never":           {[]error{errDown}, context.DeadlineExceeded, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				var told []error
				calls := 0
				err := policy.Retry(ctx, func(err error) { told = append(told, err) }, func(context.Context) error {
					calls++
					return test.answers[min(calls, len(test.answers))-1]
				})
				if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
					t.Errorf("returned %v, want %v", err, test.want)
				}
				if len(told) != test.told || slices.Contains(told, nil) {
					t.Errorf("told %v", told)
				}
				if calls > 100 {
					t.Errorf("%d attempts in an hour", calls)
				}
			})
		})
	}
}
