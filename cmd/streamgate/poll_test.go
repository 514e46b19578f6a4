package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestPoll: the first step runs at once, the others follow a period later, and poll ends with the step or the context.
func TestPoll(t *testing.T) {
	t.Parallel()
	wrong := errors.New("wrong")
	for name, c := range map[string]struct {
		step func(n int) (bool, error)
		want error
		took time.Duration
	}{
		"done at once": {func(int) (bool, error) { return true, nil }, nil, 0},
		"done later":   {func(n int) (bool, error) { return n == 3, nil }, nil, 2 * time.Second},
		"an error":     {func(n int) (bool, error) { return false, map[int]error{2: wrong}[n] }, wrong, time.Second},
		"never done":   {func(int) (bool, error) { return false, nil }, context.DeadlineExceeded, 5500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
				defer cancel()
				began, n := time.Now(), 0
				err := poll(ctx, time.Second, func() (bool, error) {
					n++
					return c.step(n)
				})
				if took := time.Since(began); !errors.Is(err, c.want) || took != c.took {
					t.Errorf("poll = %v after %s, want %v after %s", err, took, c.want, c.took)
				}
			})
		})
	}
}
