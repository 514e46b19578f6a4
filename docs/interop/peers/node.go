package main

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed bullmq_publisher.mjs
var bullMQPublisher string

// newBullMQ runs BullMQ, which names the stream of a queue's events itself. Its entries are flat, and read by rules.
func newBullMQ() (peer, error) {
	const version = "6.7.0"
	return peer{
		name:    "bullmq",
		rules:   true,
		stream:  "peers:q:events",
		version: "bullmq@" + version,
		how:     "Run: bullmq_publisher.mjs, the events of a queue whose jobs complete and fail.",
		cases:   bullMQCases(),
		publish: func(ctx context.Context, t target) error {
			host, port, err := net.SplitHostPort(t.addr)
			if err != nil {
				return err
			}
			prefix, rest, _ := strings.Cut(t.stream, ":")
			queue, _, _ := strings.Cut(rest, ":")
			cmd := exec.CommandContext(ctx, "node", "--input-type=module", "-", host, port, prefix, queue, version)
			cmd.Dir = filepath.Join(t.environments, "bullmq-"+version)
			cmd.Stdin, cmd.Stderr = strings.NewReader(bullMQPublisher), os.Stderr
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("run node: %w", err)
			}
			return nil
		},
	}, nil
}

// bullMQCases names the events in the order in which the queue writes them.
func bullMQCases() []string {
	var cases []string
	for _, job := range []struct{ name, events string }{
		{"job with an object", "added waiting active progress completed drained"},
		{"job with text", "added waiting active completed drained"},
		{"job that fails", "added waiting active failed retries-exhausted drained"},
	} {
		for event := range strings.FieldsSeq(job.events) {
			cases = append(cases, job.name+": "+event)
		}
	}
	return cases
}
