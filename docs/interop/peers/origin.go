package main

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
)

//go:embed origin_publisher.py
var originPublisher string

// newOrigin runs redis-py, as the notebook does.
func newOrigin() (peer, error) {
	return peer{
		name:    "origin",
		version: "redis-py@5.2.1",
		how:     "Run: origin_publisher.py, XADD with the fields that the notebook writes, by redis-py.",
		cases: []string{
			"item", "item again", "other producer", "unicode", "query in href", "subject is not href", "empty producer",
			"more fields", "numbers", "bytes",
		},
		publish: func(ctx context.Context, t target) error {
			host, port, err := net.SplitHostPort(t.addr)
			if err != nil {
				return err
			}
			cmd := exec.CommandContext(ctx, t.python, "-", host, port, t.stream, "5.2.1")
			cmd.Stdin, cmd.Stderr = strings.NewReader(originPublisher), os.Stderr
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("run %s: %w", t.python, err)
			}
			return nil
		},
	}, nil
}
