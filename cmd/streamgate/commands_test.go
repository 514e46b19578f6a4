package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestDemo: the demo ends on its own, delivers everything that it finds, and prints its addresses and what to try.
func TestDemo(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "demo", "--for", "5s")
	p.await(`found \S+/items/S2\S+ -> stored \d+-\d+ -> delivered after \S+`)
	if code := p.wait(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	var found, stored, delivered, dead int
	last := p.text()[strings.LastIndex(strings.TrimSpace(p.text()), "\n")+1:]
	if _, err := fmt.Sscanf(last, "demo: found %d, stored %d, delivered %d, dead-lettered %d", &found, &stored,
		&delivered, &dead); err != nil {
		t.Fatalf("the last line is %q: %v", last, err)
	}
	if found < 5 || stored != found || delivered != found || dead != 0 {
		t.Errorf("%s", last)
	}
	for _, part := range []string{"sample STAC API", "operators", "curl -i http://", "tail STREAM", "filters:"} {
		if !strings.Contains(p.text(), part) {
			t.Errorf("the introduction does not mention %q", part)
		}
	}
}

func TestDemoEndsCleanlyWithCtrlC(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "demo")
	p.await(`delivered after`)
	if code := p.end(syscall.SIGINT); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	p.await(`demo: found \d+, stored \d+, delivered \d+, dead-lettered 0`)
}

// TestServeEmbeddedKeepsEvents: with an embedded Redis, an event of send survives a restart and is printed by tail.
func TestServeEmbeddedKeepsEvents(t *testing.T) {
	t.Parallel()
	first := startProcess(t, "serve", "--config", writeFile(t, freePorts))
	url, _ := first.addresses()
	stdout, stderr, code := call(t, "", "send", "--url", url+"/events", "--id", "my-event", "--data",
		`{"hello":"world"}`)
	if code != exitDone || !strings.HasPrefix(stdout, "my-event ") {
		t.Fatalf("send: %d %q %q", code, stdout, stderr)
	}
	if code := first.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	second := startProcess(t, "serve", "--config", writeFile(t,
		"redis: { dataDir: "+first.cmd.Dir+"/streamgate-data }\n"+
			freePorts))
	second.await(`events in`)
	stdout, stderr, code = call(t, "", "tail", "events", "--redis",
		"unix://"+first.cmd.Dir+"/streamgate-data/run/redis.sock",
		"--from", "earliest", "--no-follow", "-o", "json")
	if code != exitDone || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("tail: %d %q %q", code, stdout, stderr)
	}
	var got struct {
		ID   string            `json:"id"`
		Data map[string]string `json:"data"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.ID != "my-event" || got.Data["hello"] != "world" {
		t.Errorf("%q: %v", stdout, err)
	}
}

func TestSendInEveryWay(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	ndjson := `{"specversion":"1.0","id":"n1","source":"/s","type":"t"}` + "\n\n" +
		`{"specversion":"1.0","id":"n2","source":"/s","type":"t","data":{"a":1}}` + "\n"
	for _, c := range []struct {
		stdin string
		args  []string
		want  map[string]string // fields of the last entry
	}{
		{"", []string{"--data", "plain text"}, map[string]string{"content-type": "text/plain", "data": "plain text"}},
		{"", []string{"--data", "@" + writeFile(t, `{"from":"file"}`)},
			map[string]string{"content-type": "application/json", "data": `{"from":"file"}`}},
		{"from stdin", []string{"--data", "-"}, map[string]string{"data": "from stdin"}},
		{"", []string{"--data", `[1]`, "--content-type", "application/vnd.x+json"},
			map[string]string{"content-type": "application/vnd.x+json"}},
		{"", []string{"--href", "https://example.com/a", "--producer", "p"}, map[string]string{
			"ce_subject": "https://example.com/a", "data": `{"href":"https://example.com/a","producer":"p"}`}},
		{"", []string{"--ext", "color=blue", "--subject", "s"}, map[string]string{"ce_color": "blue",
			"ce_subject": "s"}},
		{"", []string{"--structured", "--data", `{}`},
			map[string]string{"content-type": "application/cloudevents+json"}},
		{ndjson, []string{"--ndjson"}, map[string]string{"ce_id": "n2", "data": `{"a":1}`}},
	} {
		stdout, stderr, code := call(t, c.stdin, append([]string{"send", "--redis", server.URL(), "--stream", stream},
			c.args...)...)
		if code != exitDone || stdout == "" {
			t.Fatalf("%v: exit code %d, %s", c.args, code, stderr)
		}
		last := server.Client().XRevRangeN(context.Background(), stream, "+", "-", 1).Val()[0]
		for name, want := range c.want {
			if last.Values[name] != want {
				t.Errorf("%v: field %s is %v, want %q", c.args, name, last.Values[name], want)
			}
		}
	}
}

// TestTailShowsInvalidEntries: an entry that is not an event is shown as well, without control characters.
func TestTailShowsInvalidEntries(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	ctx := context.Background()
	for _, fields := range [][]string{
		{"href", "h\x1b[31m"}, {"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "data",
			"x\x1b[31m"},
	} {
		if err := server.Client().XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: fields}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, code := call(t, "", "tail", stream, "--redis", server.URL(), "--from", "0", "--no-follow")
	if code != exitDone || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, "not a CloudEvent") ||
		strings.Contains(stdout, "\x1b") {
		t.Errorf("exit code %d: %q %s", code, stdout, stderr)
	}
}

func TestExitCodesAndMessages(t *testing.T) {
	t.Parallel()
	good := writeFile(t, "streams: [{ name: STREAM }]\n")
	bad := writeFile(t, "server: { addrss: 127.0.0.1:1 }\nstreams: [{ name: STREAM, contentMode: both }]\n")
	for _, c := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"version"}, exitDone, []string{"streamgate "}},
		{[]string{"validate", good}, exitDone, []string{"is valid: 1 stream(s)"}},
		{[]string{"validate", bad}, exitUsage, []string{bad +
			":1:11: server.addrss: unknown key; did you mean address?", bad + ":2:27: streams[0].contentMode",
			"2 problem(s)"}},
		{[]string{"serve", "--config", bad}, exitUsage, []string{"did you mean address?"}},
		{[]string{"serve", "--config", "nosuch.yaml"}, exitUsage, []string{"nosuch.yaml"}},
		{[]string{"serve", "--log-level", "loud"}, exitUsage, []string{"write debug, info, warn or error"}},
		{[]string{"validate"}, exitUsage, []string{"accepts 1 arg"}},
		{[]string{"nosuch"}, exitUsage, []string{"unknown command"}},
		{[]string{"deadletters", "lsit"}, exitUsage, []string{"unknown command", "did you mean list?"}},
		{[]string{"sources", "foo"}, exitUsage, []string{"unknown command", "streamgate sources --help"}},
		{[]string{"config"}, exitDone, []string{"asyncapi"}},
		{[]string{"help", "nosuch"}, exitUsage, []string{"unknown command"}},
		{[]string{"help", "deadletters", "lsit"}, exitUsage, []string{"did you mean list?"}},
		{[]string{"help", "deadletters", "list"}, exitDone, []string{"oldest first"}},
		{[]string{"--version"}, exitDone, []string{"streamgate "}},
		{[]string{"serve", good}, exitUsage, []string{"--config " + good}},
		{[]string{"send", "--url", "localhost:8080"}, exitUsage, []string{"http://127.0.0.1:8080/"}},
		{[]string{"tail", "x", "--limit", "-1"}, exitUsage, []string{"negative"}},
		{[]string{"tail", "x", "--filter", "type ="}, exitUsage, []string{"--filter"}},
		{[]string{"tail", "x", "--nosuch"}, exitUsage, []string{"streamgate tail --help"}},
		{[]string{"tail", "x", "--from", "soon", "--redis", "redis://127.0.0.1:1"}, exitUsage,
			[]string{"write latest, earliest"}},
		{[]string{"tail", "x", "--from", "0", "--redis", "redis://127.0.0.1:1"}, exitFailed, []string{"refused"}},
		{[]string{"send", "--url", "http://127.0.0.1:1/"}, exitFailed, []string{"is the gateway running?"}},
		{[]string{"send", "--source", "a b"}, exitUsage, []string{`attribute "source"`}},
		{[]string{"send", "--ext", "novalue"}, exitUsage, []string{"NAME=VALUE"}},
	} {
		stdout, stderr, code := call(t, "", c.args...)
		if code != c.code {
			t.Errorf("%v: exit code %d, want %d: %s", c.args, code, c.code, stderr)
		}
		for _, part := range c.says {
			if !strings.Contains(stdout+stderr, part) {
				t.Errorf("%v does not say %q:\n%s%s", c.args, part, stdout, stderr)
			}
		}
	}
}

// TestEvictingRedisIsRefused: a Redis that evicts keys would remove whole streams.
func TestEvictingRedisIsRefused(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithArgs("--maxmemory-policy", "allkeys-lru"))
	p := startProcess(t, "serve", "--config", writeFile(t,
		"redis: { url: '"+server.URL()+"' }\n"+freePorts))
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	p.await(`maxmemory-policy allkeys-lru .* noeviction`)
}
