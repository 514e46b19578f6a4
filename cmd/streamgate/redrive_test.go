package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// program runs streamgate as a process and waits for its end.
func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, talk bytes.Buffer
	c := exec.CommandContext(t.Context(), self, args...)
	c.Dir, c.Env, c.Stdout, c.Stderr = t.TempDir(), []string{asProgram + "=1", "GORACE=halt_on_error=1"}, &out, &talk
	_ = c.Run() // tests look at the exit code
	return out.String(), talk.String(), c.ProcessState.ExitCode()
}

// scenario is a command line with its expected result.
type scenario struct {
	args   string // separated by spaces; STREAM stands for the stream
	code   int
	lines  int    // of stdout; -1 for any
	stdout string // a part of it
	stderr string // a part of it; "" means that nothing may be printed
}

// play runs the scenarios one after the other, each with --redis.
func play(t *testing.T, server *redistest.Server, stream string, scenarios []scenario) {
	t.Helper()
	for _, c := range scenarios {
		args := strings.Split(strings.ReplaceAll(c.args, "STREAM", stream), " ")
		stdout, stderr, code := program(t, append(args, "--redis", server.URL())...)
		if code != c.code || c.lines >= 0 && strings.Count(stdout, "\n") != c.lines ||
			!strings.Contains(stdout, c.stdout) ||
			!strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" {
			t.Errorf("%s: exit code %d, want %d; %d lines, want %d, with %q and %q\nstdout: %s\nstderr: %s",
				c.args, code, c.code, strings.Count(stdout, "\n"), c.lines, c.stdout, c.stderr, stdout, stderr)
		}
	}
}

// store adds the events e1 to eN, of two types in turn, to a stream with the entry ids 1-0 to N-0, and returns their
// ids.
func store(
	t *testing.T, client redis.UniversalClient, stream string, n int, change func(i int, e *rawevent.Event),
) (ids []string) {
	t.Helper()
	pipe := client.Pipeline()
	for i := 1; i <= n; i++ {
		e := rawevent.New("e"+strconv.Itoa(i), "/s", "com.example."+strconv.Itoa(i%2))
		if change != nil {
			change(i, &e)
		}
		ids = append(ids, e.ID())
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, ID: fmt.Sprintf("%d-0", i),
			Values: redisstreams.AppendFields(nil, &e, nil)})
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	return ids
}

// addGroup creates the group of the subscription sub, at the end of the stream.
func addGroup(t *testing.T, client redis.UniversalClient, stream string) {
	t.Helper()
	if err := client.XGroupCreateMkStream(t.Context(), stream, "streamgate:sub", "$").Err(); err != nil {
		t.Fatal(err)
	}
}

// storeDeadLetters stores n dead letters of the subscription sub: the first with status 404, the second without an
// answer, the others with status 500.
func storeDeadLetters(t *testing.T, client redis.UniversalClient, stream string, n int) []string {
	t.Helper()
	addGroup(t, client, stream)
	return store(t, client, state.DeadLetterStream(stream), n, func(i int, e *rawevent.Event) {
		code := "500"
		if i <= 2 {
			code = []string{"404", "-1"}[i-1]
		}
		e.Set("knativeerrorcode", code)
		e.Set("dlstream", stream)
		e.Set("dlsubscription", "sub")
		e.Set("dlattempts", "3")
	})
}

// inbox returns the ids of the events in the inbox of sub, in order.
func inbox(t *testing.T, client redis.UniversalClient, stream string) (ids []string) {
	t.Helper()
	entries, err := redisstreams.ReadAfter(t.Context(), client, state.InboxStream(stream, "sub"), "0", 10_000, -1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		event, err := entries[i].Event()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, event.ID())
	}
	return ids
}

// TestDeadLetterCommands: list, show, redrive and discard, selected by code, type, time and id, with wrong arguments
// and missing entries. There is no progress bar, because stderr is not a terminal.
func TestDeadLetterCommands(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	storeDeadLetters(t, server.Client(), stream, 12)
	play(t, server, stream, []scenario{
		{"deadletters list STREAM", exitDone, 12, "sub  com.example.1  id=e1  status 404 after 3 attempts", ""},
		{"deadletters list STREAM --limit 5 --after 8-0", exitDone, 4, "12-0", ""},
		{"deadletters list STREAM --limit 3", exitDone, 3, "no answer", "--after 3-0"},
		{"deadletters list STREAM --code 5xx --type com.example.1", exitDone, 5, "3-0", ""},
		{"deadletters list STREAM --code none", exitDone, 1, "2-0", ""},
		{"deadletters list STREAM --id e7 -o json", exitDone, 1, `{"entry":"7-0","stream":"` + stream +
			`","subscription":"sub","type":"com.example.1",`, ""},
		{"deadletters list STREAM --since 1970-01-01T00:00:00.003Z --until 1970-01-01T00:00:00.005Z", exitDone, 2,
			"3-0", ""},
		{"deadletters list STREAM --subscription other", exitDone, 0, "", ""},
		{"deadletters list STREAM -o xml", exitUsage, 0, "", "text or json"},
		{"deadletters list STREAM --code soon", exitUsage, 0, "", "write one like 404"},
		{"deadletters list STREAM --since yesterday", exitUsage, 0, "", "write one like 2026"},
		{"deadletters list STREAM --limit 0", exitUsage, 0, "", "--limit: 0"},
		{"deadletters list", exitUsage, 0, "", "accepts 1 arg"},
		{"deadletters show STREAM 3-0", exitDone, -1, `"knativeerrorcode": "500"`, ""},
		{"deadletters show STREAM 99-0", exitFailed, 0, "",
			"no such dead letter: 99-0; to list the dead letters, run: streamgate deadletters list"},
		{"deadletters show STREAM x", exitUsage, 0, "", "like 1700000000000-0"},
		{"deadletters redrive STREAM", exitUsage, 0, "", "--all"},
		{"deadletters redrive STREAM 1-0 x-0", exitUsage, 0, "", `"x-0" is not a valid entry id`},
		{"deadletters redrive STREAM --all --rate -1", exitUsage, 0, "", "no limit"},
		{"deadletters redrive STREAM --code 403", exitDone, 1, "0 redriven, 0 skipped", ""},
		{"deadletters redrive STREAM 1-0 99-0 --dry-run", exitFailed, 2, "1 would be redriven",
			"99-0: not found, or not selected"},
		{"deadletters redrive STREAM 1-0 99-0", exitFailed, 1, "1 redriven", "99-0: not found, or not selected"},
		{"deadletters redrive STREAM 1-0", exitFailed, 1, "0 redriven", "1-0: not found"},
		{"deadletters redrive STREAM --id e5 --rate 1000", exitDone, 1, "1 redriven", ""},
		{"deadletters redrive STREAM --type com.example.0 --until 1970-01-01T00:00:00.005Z", exitDone, 1,
			"2 redriven", ""},
		{"deadletters discard STREAM --since 1970-01-01T00:00:00.011Z --dry-run", exitDone, 3, "2 would be discarded",
			""},
		{"deadletters discard STREAM 6-0 7-0", exitDone, 1, "2 discarded", ""},
		{"dlq list STREAM", exitDone, 6, "12-0", ""},
		{"deadletters discard STREAM --all", exitDone, 1, "6 discarded", ""},
		{"deadletters list STREAM", exitDone, 0, "", ""},
	})
	if got := inbox(t, server.Client(), stream); !slices.Equal(got, []string{"e1", "e5", "e2", "e4"}) {
		t.Errorf("%v were redriven", got)
	}
	if _, stderr, code := program(t, "deadletters", "list", stream, "--redis",
		"redis://127.0.0.1:1"); code != exitFailed || !strings.Contains(stderr, "is its Redis running?") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestReplayAndRewindCommands: bounds, filters and wrong arguments; a rewind moves the group, and a replay does not.
func TestReplayAndRewindCommands(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	client := server.Client()
	store(t, client, stream, 12, nil)
	addGroup(t, client, stream)
	position := func() string { return client.XInfoGroups(t.Context(), stream).Val()[0].LastDeliveredID }
	play(t, server, stream, []scenario{
		{"replay STREAM", exitUsage, 0, "", `"from", "subscription" not set`},
		{"replay STREAM --subscription sub --from soon", exitUsage, 0, "", "write latest, earliest, an entry id"},
		{"replay STREAM --subscription sub --from 1 --to soon", exitUsage, 0, "", "to end at"},
		{"replay STREAM --subscription sub --from 1 --rate -1", exitUsage, 0, "", "no limit"},
		{"replay STREAM --subscription sub --from 1 --filter type=x", exitUsage, 0, "", "is not a valid filter"},
		{"replay STREAM --subscription nosuch --from 1", exitFailed, 0, "", "no such subscription"},
		{"replay STREAM --subscription sub --from 9-0 --dry-run", exitDone, 1,
			"3 events would be replayed, 3 entries read", ""},
		{`replay STREAM --subscription sub --from 8-0 --to 11-0 --filter {"exact":{"type":"com.example.1"}}`, exitDone,
			1, "2 events replayed, 3 entries", ""},
		{"replay STREAM --subscription sub --from 1970-01-01T00:00:00.012Z --rate 1000", exitDone, 1,
			"1 events replayed", ""},
	})
	if got := inbox(t, client, stream); !slices.Equal(got, []string{"e9", "e11", "e12"}) {
		t.Errorf("%v were replayed", got)
	}
	if p := position(); p != "12-0" {
		t.Errorf("the replays moved the group to %s", p)
	}
	play(t, server, stream, []scenario{
		{"rewind STREAM --subscription sub", exitUsage, 0, "", `"to" not set`},
		{"rewind STREAM --subscription sub --to 9-0", exitUsage, 0, "", "--yes"},
		{"rewind STREAM --subscription sub --to soon --yes", exitUsage, 0, "", "write latest, earliest"},
		{"rewind STREAM --subscription nosuch --to 9-0 --yes", exitFailed, 0, "", "no such subscription"},
		{"rewind STREAM --subscription sub --to 9-0 --dry-run", exitDone, 1,
			"sub would be moved to 9-0: 3 entries follow it", ""},
	})
	if p := position(); p != "12-0" {
		t.Errorf("a failed command or a dry run moved the group to %s", p)
	}
	play(t, server, stream, []scenario{{"rewind STREAM --subscription sub --to 1970-01-01T00:00:00.010Z --yes",
		exitDone, 1, "3 entries follow it", ""}})
	if p := position(); redisstreams.CompareIDs(p, "9-0") < 0 || redisstreams.CompareIDs(p, "10-0") >= 0 {
		t.Errorf("the group is at %s", p)
	}
	play(t, server, stream, []scenario{{"rewind STREAM --subscription sub --to latest --yes", exitDone, 1,
		"moved to 12-0: 0 entries", ""}})
	if p := position(); p != "12-0" {
		t.Errorf("the group is at %s", p)
	}
}

// TestKillNineInTheMiddle kills a redrive and a replay with kill -9: the same command, run again, continues. No event
// is lost or repeated, and the order is kept.
func TestKillNineInTheMiddle(t *testing.T) {
	t.Parallel()
	const n = 600
	for name, c := range map[string]struct {
		setup func(*testing.T, redis.UniversalClient, string) []string
		args  []string
	}{
		"redrive": {
			func(t *testing.T, client redis.UniversalClient, stream string) []string {
				t.Helper()
				return storeDeadLetters(t, client, stream, n)
			}, []string{"deadletters", "redrive", "STREAM", "--all"},
		},
		"replay": {
			func(t *testing.T, client redis.UniversalClient, stream string) []string {
				t.Helper()
				ids := store(t, client, stream, n, nil)
				addGroup(t, client, stream)
				return ids
			}, []string{"replay", "STREAM", "--subscription", "sub", "--from", "earliest"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, stream := redistest.Shared(t), redistest.Stream(t)
			client := server.Client()
			want := c.setup(t, client, stream)
			length := func() int64 { return client.XLen(context.Background(), state.InboxStream(stream, "sub")).Val() }
			args := slices.Clone(c.args)
			args[slices.Index(args, "STREAM")] = stream
			args = append(args, "--redis", server.URL())
			for kills := int64(1); kills <= 3; kills++ {
				p := startProcess(t, append(args, "--rate", "250")...)
				redistest.Eventually(t, "some events are in the inbox", func() bool { return length() >= 100*kills })
				p.kill()
			}
			if length() >= n {
				t.Fatal("the command was finished before the last kill")
			}
			stdout, stderr, code := program(t, append(args, "--rate", "0")...)
			if code != exitDone {
				t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
			}
			if got := inbox(t, client, stream); !slices.Equal(got, want) {
				t.Errorf("%d events are in the inbox, want %d, each once and in order", len(got), len(want))
			}
		})
	}
}

// TestInterruptedCommands: after Ctrl-C a command tells that it was interrupted and can be repeated.
func TestInterruptedCommands(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	client := server.Client()
	storeDeadLetters(t, client, stream, 20)
	store(t, client, stream, 20, nil)
	for _, args := range [][]string{
		{"deadletters", "redrive", stream, "--all"}, {"replay", stream, "--subscription", "sub", "--from", "earliest"},
	} {
		before := client.XLen(t.Context(), state.InboxStream(stream, "sub")).Val()
		p := startProcess(t, append(args, "--rate", "2", "--redis", server.URL())...)
		redistest.Eventually(t, "the command has begun", func() bool {
			return client.XLen(context.Background(), state.InboxStream(stream, "sub")).Val() > before
		})
		if code := p.end(os.Interrupt); code != exitFailed {
			t.Errorf("%v: exit code %d", args, code)
		}
		p.await("interrupted.*the same command continues")
	}
}

// markedSink accepts or rejects the events of one subscription, and records them with their redrive and replay marks.
type markedSink struct {
	mu     sync.Mutex
	heals  bool     // accepts events
	events []string // "ID redrive=N" or "ID replay", in the order of delivery
}

func (s *markedSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.Header.Get("Ce-Id")
	if n := r.Header.Get("Ce-Redrive"); n != "" {
		id += " redrive=" + n
	}
	if r.Header.Get("Ce-Replay") != "" {
		id += " replay"
	}
	s.events = append(s.events, id)
	if !s.heals {
		http.Error(w, "not today", http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *markedSink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *markedSink) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heals = true
}

// TestDeadLetterRedriveReplayRewind follows an operator, with the program as the gateway and as the commands: a sink
// rejects an event; redriven, the event goes to that sink alone, is counted as redriven when it fails again, and is
// accepted in the end. A replay is marked and in the order of the stream. A rewind delivers later events again.
func TestDeadLetterRedriveReplayRewind(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	failing, other := &markedSink{}, &markedSink{heals: true}
	failingServer, otherServer := httptest.NewServer(failing), httptest.NewServer(other)
	t.Cleanup(failingServer.Close)
	t.Cleanup(otherServer.Close)
	config := strings.Replace(faultConfig(server.URL(), failingServer.URL), "concurrency: 8", "concurrency: 1", 1) +
		"  - { name: other, stream: STREAM, startFrom: earliest, sink: { uri: '" + otherServer.URL + "' } }\n"
	p := startProcess(t, "serve", "--config", writeFile(t, config))
	events, operators := p.addresses()
	redistest.Eventually(t, "the event is accepted", func() bool {
		return postEvent(events,
			"e1") == http.StatusAccepted
	})
	awaitLetter := func(n int) string {
		var line string
		redistest.Eventually(t, "there is a dead letter", func() bool {
			out, _, _ := call(t, "", "deadletters", "list", "STREAM", "--redis", server.URL(), "-o", "json")
			line = out
			return strings.Count(out, "\n") == 1 && (n == 0 || strings.Contains(out, fmt.Sprintf(`"redriven":%d`, n)))
		})
		return line
	}
	if first := awaitLetter(0); !strings.Contains(first, `"code":422,"reason":"422 Unprocessable Entity (text/plain): not today"`) ||
		strings.Contains(first, "redriven") {
		t.Errorf("the first dead letter is %s", first)
	}
	if code := status(t, operators+"/api/v1/deadletters?stream=STREAM&code=422"); code != http.StatusOK {
		t.Errorf("the API answers %d", code)
	}
	play(t, server, "STREAM", []scenario{{"deadletters redrive STREAM --all", exitDone, 1, "1 redriven", ""}})
	awaitLetter(1)
	failing.heal()
	play(t, server, "STREAM", []scenario{{"deadletters redrive STREAM --subscription sub --code 422", exitDone, 1,
		"1 redriven", ""}})
	redistest.Eventually(t, "it is taken", func() bool { return len(failing.got()) == 3 })
	if got, want := failing.got(), []string{"e1", "e1 redrive=1", "e1 redrive=2"}; !slices.Equal(got, want) {
		t.Errorf("the sink got %v, want %v", got, want)
	}

	for i := 2; i <= 12; i++ {
		if code := postEvent(events, fmt.Sprint("e", i)); code != http.StatusAccepted {
			t.Fatalf("status %d", code)
		}
	}
	redistest.Eventually(t, "both have all", func() bool { return len(failing.got()) == 14 && len(other.got()) == 12 })
	play(t, server, "STREAM", []scenario{{"replay STREAM --subscription sub --from earliest", exitDone, 1,
		"12 events replayed", ""}})
	redistest.Eventually(t, "all are replayed", func() bool { return len(failing.got()) == 26 })
	for i, got := range failing.got()[14:] {
		if want := fmt.Sprintf("e%d replay", i+1); got != want {
			t.Errorf("replayed event %d is %q, want %q", i, got, want)
		}
	}
	play(t, server, "STREAM", []scenario{{"rewind STREAM --subscription sub --to earliest --yes", exitDone, 1,
		"12 entries follow it", ""}})
	redistest.Eventually(t, "all are delivered again", func() bool { return len(failing.got()) == 38 })
	if n := len(other.got()); n != 12 {
		t.Errorf("the other subscription got %d events, want 12", n)
	}
}

// TestProgressIsForTerminals: a terminal gets a bar that is redrawn, and anything else gets nothing.
func TestProgressIsForTerminals(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{true, false} {
		var out bytes.Buffer
		bar := newProgress(&out)
		bar.terminal, bar.shown = terminal, bar.shown.Add(-2*barPeriod)
		bar.update(0.5, "7 done")
		bar.update(0.6, "8 done") // too soon
		bar.end()
		want := ""
		if terminal {
			want = "\r[###############...............]  50%  7 done, ? left \x1b[K\n"
		}
		if out.String() != want {
			t.Errorf("terminal %v: %q", terminal, out.String())
		}
	}
}
