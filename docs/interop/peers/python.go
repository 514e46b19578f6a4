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

//go:embed faststream_publisher.py
var fastStreamPublisher string

//go:embed taskiq_publisher.py
var taskiqPublisher string

// newFastStream runs three versions of FastStream, whose containers differ, one after the other.
func newFastStream() (peer, error) {
	versions := []string{"0.7.8", "0.6.7", "0.5.48"}
	p := peer{
		name:    "faststream",
		version: "faststream@" + strings.Join(versions, ", "),
		how:     "Run: faststream_publisher.py, RedisBroker.publish to a stream, by each version.",
		publish: func(ctx context.Context, t target) error {
			for _, version := range versions {
				if err := runPython(ctx, t, "faststream-"+version, fastStreamPublisher, version); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for _, version := range versions {
		for _, name := range []string{
			"object", "text", "bytes", "none", "list", "headers", "headers that are not ASCII", "other content type", "structured event",
		} {
			p.cases = append(p.cases, version+": "+name)
		}
	}
	return p, nil
}

// newTaskiq runs taskiq-redis. Its entries are flat, and read by rules.
func newTaskiq() (peer, error) {
	const version = "1.2.4"
	return peer{
		name:    "taskiq",
		rules:   true,
		version: "taskiq-redis@" + version,
		how:     "Run: taskiq_publisher.py, tasks sent by RedisStreamBroker.",
		cases:   []string{"task", "task with labels"},
		publish: func(ctx context.Context, t target) error {
			return runPython(ctx, t, "taskiq-"+version, taskiqPublisher, version)
		},
	}, nil
}

// runPython runs a script in one of the virtual environments that run.sh has made.
func runPython(ctx context.Context, t target, environment, script, version string) error {
	host, port, err := net.SplitHostPort(t.addr)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(t.environments, environment, "bin", "python"),
		"-W", "ignore::DeprecationWarning", "-", host, port, t.stream, version)
	cmd.Stdin, cmd.Stderr = strings.NewReader(script), os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", environment, err)
	}
	return nil
}
