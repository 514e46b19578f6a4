// Command streamgate is a CloudEvents gateway on Redis Streams.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/config"
)

// Exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1 // a failure at run time
	exitUsage  = 2 // a mistake in the command line or in the configuration
)

func main() {
	// SIGHUP is what a closing terminal sends; without a handler it would end the gateway without a graceful stop.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	redis.SetLogger(silence{})
	context.AfterFunc(ctx, stop) // restores the default handler: a second Ctrl-C ends the program at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	os.Exit(code)
}

// silence keeps go-redis from writing to stderr on its own; the commands report the same problems as errors.
type silence struct{}

// Printf implements the logger of go-redis.
func (silence) Printf(context.Context, string, ...any) {}

// run executes a command line and returns its exit code. Data goes to stdout, messages go to stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var wrong *config.Error
	if errors.As(err, &wrong) {
		_, _ = fmt.Fprintln(stderr, wrong.Error())
		_, _ = fmt.Fprintf(stderr, "streamgate: the configuration has %d problem(s)\n",
			len(wrong.Findings))
		return exitUsage
	}
	_, _ = fmt.Fprintf(stderr, "streamgate: %v\n", err)
	var failed *failure
	if errors.As(err, &failed) {
		return exitFailed
	}
	return exitUsage
}

// failure is an error at run time. Every other error of a command is a mistake in its arguments or configuration.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// failed marks an error as a failure at run time, for [run] to return exitFailed; nil stays nil. A [config.Error]
// keeps exitUsage, even when it is wrapped in a failure.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &failure{err}
}
