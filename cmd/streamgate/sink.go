package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Limits of the sink.
const (
	sinkBodyBytes = 8 << 20 // of one request
	sinkDelay     = time.Minute
)

// sinkFlags say how the sink answers.
type sinkFlags struct {
	address    string
	output     string
	status     int
	fail       string
	failStatus int
	delay      time.Duration
}

func newSink() *cobra.Command {
	var f sinkFlags
	c := &cobra.Command{
		Use:   "sink",
		Short: "Receive events over HTTP and print them",
		Long: "Receive CloudEvents over HTTP, in any content mode, and print them: something for a subscription to deliver " +
			"to while\n" +
			"you try it out. Failures can be injected, to see retries and dead letters.",
		Example: "  streamgate sink\n  streamgate sink --address 127.0.0.1:9000 --fail 30% --fail-status 503 --delay 200ms",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.address, "address", "127.0.0.1:9000", "`ADDRESS` to listen on, host:port")
	flags.StringVarP(&f.output, "output", "o", formatText, "output `FORMAT`: text, or json for one event per line")
	flags.IntVar(&f.status, "status", http.StatusNoContent, "`STATUS` of the answer")
	flags.StringVar(&f.fail, "fail", "0", "`SHARE` of the requests that fail, at random: 0.3 or 30%")
	flags.IntVar(&f.failStatus, "fail-status", http.StatusServiceUnavailable, "`STATUS` of the answers that fail")
	flags.DurationVar(&f.delay, "delay", 0, "how long each answer takes")
	return c
}

func (f *sinkFlags) run(c *cobra.Command) error {
	share, err := f.check()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(c.Context(), "tcp", f.address)
	if err != nil {
		return failed(fmt.Errorf("listen for events (--address): %w", err))
	}
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "listening on http://%s/; events are printed as they arrive, Ctrl-C ends\n",
		listener.Addr())
	handler := &printingSink{flags: f, share: share, out: c.OutOrStdout(), messages: c.ErrOrStderr()}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute}
	stop := context.AfterFunc(c.Context(), func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return failed(fmt.Errorf("serve: %w", err))
	}
	return nil
}

// check returns the share of requests that fail.
func (f *sinkFlags) check() (share float64, err error) {
	if err := checkChoice("--output", f.output, formatText, formatJSON); err != nil {
		return 0, err
	}
	for flag, status := range map[string]int{"--status": f.status, "--fail-status": f.failStatus} {
		if status < 200 || status > 599 {
			return 0, fmt.Errorf("%s: %d is not a status of an answer; write one like 204 or 503", flag, status)
		}
	}
	if f.delay < 0 || f.delay > sinkDelay {
		return 0, fmt.Errorf("--delay: %s is not between 0 and %s", f.delay, sinkDelay)
	}
	text, isPercent := strings.CutSuffix(f.fail, "%")
	share, err = strconv.ParseFloat(text, 64)
	if isPercent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) { // not a number is neither
		return 0, fmt.Errorf("--fail: %q is not a share; write one like 0.3 or 30%%", f.fail)
	}
	return share, nil
}

// printingSink prints the events that it receives. It is safe for concurrent use.
type printingSink struct {
	flags    *sinkFlags
	share    float64
	messages io.Writer

	mu  sync.Mutex
	out io.Writer
}

// ServeHTTP implements http.Handler.
func (s *printingSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "events are sent with POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sinkBodyBytes))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusRequestEntityTooLarge)
		return
	}
	events, err := readSent(r.Header, body)
	if err != nil {
		_, _ = fmt.Fprintf(s.messages, "rejected a request that does not hold a CloudEvent: %s\n", printable(err.Error()))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !backoff.Sleep(r.Context(), s.flags.delay) {
		return
	}
	if rand.Float64() < s.share { //nolint:gosec // it is not a secret
		w.WriteHeader(s.flags.failStatus)
		return
	}
	if err := s.print(events); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(s.flags.status)
}

// readSent reads the events of a request in any content mode.
func readSent(header http.Header, body []byte) ([]rawevent.Event, error) {
	if rawevent.ModeOf(header.Get("Content-Type")) == rawevent.Batched {
		return rawevent.BatchFromHTTP(header, body)
	}
	event, err := rawevent.FromHTTP(header, body)
	return []rawevent.Event{event}, err
}

func (s *printingSink) print(events []rawevent.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		line := describeEvent(&events[i])
		if s.flags.output == formatJSON {
			text, err := compactEvent(&events[i])
			if err != nil {
				return err
			}
			line = text
		}
		if _, err := fmt.Fprintln(s.out, line); err != nil {
			return err
		}
	}
	return nil
}
