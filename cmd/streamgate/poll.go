package main

import (
	"context"
	"time"

	"github.com/streamgate/streamgate/gateway/backoff"
)

// poll calls step at once, and again a period after each call, until step reports that it is done or returns an error,
// which poll returns. When ctx ends first, poll returns the error of ctx.
func poll(ctx context.Context, period time.Duration, step func() (done bool, err error)) error {
	for {
		if done, err := step(); done || err != nil {
			return err
		}
		if !backoff.Sleep(ctx, period) {
			return ctx.Err()
		}
	}
}
