package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// benchEvent is the event of the measurements: five attributes and 1 KB of data.
func benchEvent() rawevent.Event {
	e := rawevent.New("0f8fad5b-d9cb-469f-a165-70867728950e", "https://example.com/sensors/17", "com.example.measurement")
	e.Set("time", "2026-11-23T01:02:03Z")
	e.DataContentType, e.Data = "application/json", []byte(`{"payload":"`+strings.Repeat("x", 1000)+`"}`)
	return e
}

// BenchmarkIngest measures HTTP in -> Redis, beside the two limits, in the same run and in turns: ratio is events/s of
// the gateway over those of a bare net/http handler that answers 202, xadd-ratio over those of XADD of the same events
// by go-redis, in pipelines of 100. The client is in the same process; docs/events.md tells of a measurement with wrk.
func BenchmarkIngest(b *testing.B) {
	event := benchEvent()
	for _, connections := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("binary1KB/connections=%d", connections), func(b *testing.B) {
			compareIngest(b, connections, 1, rawRequest(&event))
		})
	}
	b.Run("structured1KB/connections=64", func(b *testing.B) {
		compareIngest(b, 64, 1, withBody(rawevent.MediaTypeJSON, event.AppendJSON(nil)))
	})
	batch := make([]rawevent.Event, 100)
	for i := range batch {
		batch[i] = event
	}
	b.Run("batch100/connections=16", func(b *testing.B) {
		compareIngest(b, 16, 100, withBody(rawevent.MediaTypeBatch, rawevent.AppendBatch(nil, batch)))
	})
}

func withBody(contentType string, body []byte) []byte {
	head := fmt.Appendf(nil, "POST /%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", benchStream, contentType, len(body))
	return append(head, body...)
}

const benchStream = "bench"

func rawRequest(e *rawevent.Event) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST /%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", benchStream, len(e.Data))
	header := http.Header{}
	e.WriteHTTP(header)
	if err := header.Write(&b); err != nil {
		panic(err) // it writes to memory
	}
	b.WriteString("\r\n")
	b.Write(e.Data)
	return b.Bytes()
}

// compareIngest sends the request b.N times to each, in turns, over as many connections.
func compareIngest(b *testing.B, connections, events int, request []byte) {
	server := redistest.Start(b)
	g := start(b, server.Client(), oneStream(benchStream))
	bare := newServer(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	gatewayConns, bareConns := dial(b, g.url, connections), dial(b, bare, connections)
	var gatewayTime, bareTime, xaddTime time.Duration
	var took []time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	const rounds = 5
	for round := range rounds {
		n := b.N/rounds + min(b.N%rounds, 1)*boolToInt(round < b.N%rounds)
		b.StopTimer()
		bareTime += bareConns.send(b, n, request)
		xaddTime += xadd(b, server.Client(), n*events)
		b.StartTimer()
		gatewayTime += gatewayConns.send(b, n, request)
		b.StopTimer()
		for _, c := range gatewayConns {
			took = append(took, c.took...)
			c.took = nil
		}
	}
	if gatewayTime > 0 {
		slices.Sort(took)
		b.ReportMetric(float64(b.N*events)/gatewayTime.Seconds(), "events/s")
		b.ReportMetric(bareTime.Seconds()/gatewayTime.Seconds(), "ratio")
		b.ReportMetric(xaddTime.Seconds()/gatewayTime.Seconds(), "xadd-ratio")
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	}
	if n := server.Client().XLen(context.Background(), benchStream).Val(); n != int64(b.N*events) {
		b.Errorf("%d events are stored, want %d", n, b.N*events)
	}
}

// xadd adds n events to another stream, in pipelines of 100 over two connections.
func xadd(b *testing.B, client redis.UniversalClient, n int) time.Duration {
	b.Helper()
	event := benchEvent()
	sender := mustSender(b, client, "raw")
	args := sender.AppendEntryFields([]any{"xadd", "raw", "*"}, &event)
	started := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for {
				size := min(100, left.Add(-100)+100)
				if size <= 0 {
					return
				}
				pipe := client.Pipeline()
				for range size {
					pipe.Do(context.Background(), args...)
				}
				if _, err := pipe.Exec(context.Background()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	took := time.Since(started)
	if err := client.Del(context.Background(), "raw").Err(); err != nil {
		b.Fatal(err)
	}
	return took
}

func boolToInt(v bool) int {
	if v {
		return 1
	}
	return 0
}

// connections are plain sockets: a client that costs as little as can be.
type connections []*connection

type connection struct {
	conn   net.Conn
	reader *bufio.Reader
	took   []time.Duration // each request
}

func dial(b *testing.B, url string, n int) connections {
	b.Helper()
	list := make(connections, n)
	for i := range list {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		list[i] = &connection{conn: conn, reader: bufio.NewReader(conn)}
	}
	return list
}

func (c connections) send(b *testing.B, n int, request []byte) time.Duration {
	var left atomic.Int64
	left.Store(int64(n))
	started := time.Now()
	var group sync.WaitGroup
	for _, one := range c {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				began := time.Now()
				if err := one.roundTrip(request); err != nil {
					b.Error(err)
					return
				}
				one.took = append(one.took, time.Since(began))
			}
		})
	}
	group.Wait()
	return time.Since(started)
}

func (c *connection) roundTrip(request []byte) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 202 ")):
			return fmt.Errorf("answered %s", line)
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[16:]))); err != nil {
				return err
			}
		case len(line) <= 2:
			_, err := c.reader.Discard(length)
			return err
		}
	}
}
