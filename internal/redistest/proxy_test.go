package redistest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestProxyPasses(t *testing.T) {
	t.Parallel()
	p, client := proxied(t, Shared(t))
	stream, value := Stream(t), strings.Repeat("x", 1<<20)
	if err := client.Set(t.Context(), stream, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
	pipe := client.Pipeline()
	got, missing := pipe.Get(t.Context(), stream), pipe.Get(t.Context(), stream+"-none")
	info, config := pipe.Info(t.Context()), pipe.ConfigGet(t.Context(), "*max*")
	if _, err := pipe.Exec(t.Context()); !errors.Is(err, redis.Nil) {
		t.Errorf("pipeline: %v, want redis.Nil of the missing key", err)
	}
	if got.Val() != value || !errors.Is(missing.Err(), redis.Nil) || info.Val() == "" || len(config.Val()) == 0 {
		t.Errorf("replies: %d bytes, %v, %d bytes, %d settings", len(got.Val()), missing.Err(), len(info.Val()),
			len(config.Val()))
	}
	sub := client.Subscribe(t.Context(), stream)
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.Publish(t.Context(), stream, "hello").Err(); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.ReceiveMessage(t.Context()); err != nil || m.Payload != "hello" {
		t.Errorf("message %v, %v", m, err)
	}
	if got := p.Connections(); got < 2 {
		t.Errorf("%d connections, want one for commands and one for the subscription", got)
	}
}

func TestProxyDropsReplies(t *testing.T) {
	t.Parallel()
	p, client := proxied(t, Shared(t))
	stream := Stream(t)
	done := p.DropReplies(2, "xadd")
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("a command that is not meant: %v", err)
	}
	for range 2 {
		if _, err := xadd(t, client, stream); err == nil {
			t.Error("XADD got its reply")
		}
	}
	<-done
	if _, err := xadd(t, client, stream); err != nil {
		t.Errorf("after the fault: %v", err)
	}
	if n, err := client.XLen(t.Context(), stream).Result(); err != nil || n != 3 {
		t.Errorf("%d entries, %v; want 3, because the server executed the commands without a reply", n, err)
	}
	<-p.DropReplies(0)
}

func TestProxyDropsCommands(t *testing.T) {
	t.Parallel()
	p, client := proxied(t, Shared(t))
	stream := Stream(t)
	done := p.DropCommands(1) // not the commands that open the connection
	if _, err := xadd(t, client, stream); err == nil {
		t.Error("XADD got a reply")
	}
	<-done
	if n, err := client.XLen(t.Context(), stream).Result(); err != nil || n != 0 {
		t.Errorf("%d entries, %v; want none", n, err)
	}
}

func TestProxyCutsReply(t *testing.T) {
	t.Parallel()
	p, _ := proxied(t, Shared(t))
	tests := map[string]struct {
		keep int
		want string
	}{
		"in the middle":    {keep: 6, want: "$5\r\nhe"},
		"never completely": {keep: 100, want: "$5\r\nhello\r"},
	}
	for name, tt := range tests {
		done := p.CutMidReply(tt.keep, "ECHO")
		conn := dial(t, p.Addr())
		send(t, conn, "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n")
		got, err := io.ReadAll(conn)
		if want := "+PONG\r\n" + tt.want; err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q and the end", name, got, err, want)
		}
		<-done
	}
}

func TestProxyBlackhole(t *testing.T) {
	t.Parallel()
	p, client := proxied(t, Shared(t))
	stream := Stream(t)
	if _, err := xadd(t, client, stream); err != nil {
		t.Fatal(err)
	}
	p.Blackhole(true)
	p.Blackhole(true)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		failed <- client.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []string{"k", "v"}}).Err()
	}()
	Eventually(t, "command is held", func() bool { return p.Held() == 1 })
	late := dial(t, p.Addr())
	send(t, late, "PING\r\n")
	Eventually(t, "new connection is held", func() bool { return p.Held() == 2 && p.Connections() == 2 })
	if n := Shared(t).Client().XLen(t.Context(), stream).Val(); n != 1 {
		t.Errorf("%d entries in the blackhole, want 1", n)
	}
	cancel()
	_ = client.Close() // go-redis does not check the context while it waits for a reply
	if err := <-failed; err == nil {
		t.Error("XADD passed the blackhole")
	}
	p.Blackhole(false)
	if line, err := bufio.NewReader(late).ReadString('\n'); err != nil || line != "+PONG\r\n" {
		t.Errorf("after the blackhole: %q, %v", line, err)
	}
	Eventually(t, "the held command arrives", func() bool {
		return Shared(t).Client().XLen(t.Context(), stream).Val() == 2
	})
	Eventually(t, "nothing is held", func() bool { return p.Held() == 0 })
}

func TestProxyLatency(t *testing.T) {
	t.Parallel()
	p, client := proxied(t, Shared(t))
	const latency = 50 * time.Millisecond
	p.Latency(latency)
	begin := time.Now()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < latency {
		t.Errorf("PING took %v, want at least %v", took, latency)
	}
	p.Latency(time.Hour)
	conn := dial(t, p.Addr())
	send(t, conn, "PING\r\n")
	Eventually(t, "connection is there", func() bool { return p.Connections() == 2 })
	p.CloseAll() // also those that are late
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestProxyClosesAll(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p, client := proxied(t, s)
	conn := dial(t, p.Addr())
	Eventually(t, "connection is there", func() bool { return p.Connections() == 1 })
	p.Blackhole(true)
	p.CloseAll()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want EOF", err)
	}
	if got := p.Connections(); got != 0 {
		t.Errorf("%d connections after CloseAll", got)
	}
	p.Blackhole(false)
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("new connection after CloseAll: %v", err)
	}
	s.Kill()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Error("a dead server answers")
	}
}

func TestProxyWithTLS(t *testing.T) {
	t.Parallel()
	s := Start(t, WithTLS())
	p := StartProxy(t, s.TLSAddr())
	p.DropReplies(1) // has no effect: the proxy cannot parse the commands
	conn, err := (&tls.Dialer{Config: s.TLSConfig()}).DialContext(t.Context(), "tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	send(t, conn, "PING\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "+PONG\r\n" {
		t.Errorf("PING = %q, %v", line, err)
	}
}

func TestReadFrame(t *testing.T) {
	t.Parallel()
	whole := []string{
		"+OK\r\n", "-ERR no\r\n", ":1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(12\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
		"$2\r\n\r\n\r\n", "=7\r\ntxt:abc\r\n", "!5\r\nERR x\r\n", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "%1\r\n+k\r\n+v\r\n",
		"~1\r\n:1\r\n", ">2\r\n+a\r\n+b\r\n", "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n", "PING hello\r\n",
	}
	r := bufio.NewReader(strings.NewReader(strings.Join(whole, "")))
	for _, want := range whole {
		if f, err := readFrame(r); err != nil || string(f.raw) != want || f.kind != want[0] {
			t.Errorf("frame %q of kind %c, %v; want %q", f.raw, f.kind, err, want)
		}
	}
	for _, broken := range []string{"", "$5\r\nab", "*2\r\n:1\r\n", "$x\r\n", "%x\r\n", "+OK"} {
		if f, err := readFrame(bufio.NewReader(strings.NewReader(broken))); err == nil || string(f.raw) != broken {
			t.Errorf("frame of %q = %q, %v; want what there was and an error", broken, f.raw, err)
		}
	}
	for raw, want := range map[string]string{"*1\r\n$4\r\nxadd\r\n": "XADD", "get k\r\n": "GET", "*0\r\n": "",
		"\r\n": ""} {
		if got := (frame{kind: raw[0], raw: []byte(raw)}).command(); got != want {
			t.Errorf("command of %q = %q, want %q", raw, got, want)
		}
	}
}

// proxied returns a proxy in front of s and a client that does not retry.
func proxied(t *testing.T, s *Server) (*Proxy, *redis.Client) {
	t.Helper()
	p := StartProxy(t, s.Addr())
	client := redis.NewClient(&redis.Options{Addr: p.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	return p, client
}

func xadd(t *testing.T, client *redis.Client, stream string) (string, error) {
	t.Helper()
	return client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{"k", "v"}}).Result()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}
