package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestFaultManySubscriptions runs 10,000 subscriptions of one stream: it measures the time to start, the CPU time and
// memory of the gateway and Redis when idle, and the latency of an event. It runs alone, because it measures.
func TestFaultManySubscriptions(t *testing.T) { //nolint:paralleltest // other tests would disturb the measurement
	needFaults(t)
	const number, events = 10_000, 20
	server := redistest.Start(t)
	sink := newFaultSink(t)
	var b strings.Builder
	fmt.Fprintf(&b, "redis: { url: '%s' }\n"+freePorts,
		server.URL())
	b.WriteString("streams: [{ name: STREAM }]\nsubscriptions:\n")
	for i := range number {
		// a file has at most 1 MiB
		fmt.Fprintf(&b, "- {name: s%d,stream: STREAM,filters: [exact: {id: s%d}],sink: {uri: %s/s%d}}\n", i, i,
			sink.URL, i)
	}
	r := &rig{t: t, client: server.Client(), http: sink.Client(), sink: sink, file: writeFile(t, b.String()),
		replicas: make([]*replica, 1)}
	begin := time.Now()
	r.launch(0)
	r.awaitReady()
	start := time.Since(begin)
	r.during(5 * time.Second)
	const idle = 10 * time.Second
	gateway, redis := r.replica(0).cmd.Process.Pid, processOf(t, server)
	before, beforeRedis := cpuTime(t, gateway), cpuTime(t, redis)
	r.during(idle)
	cpu, cpuRedis := cpuTime(t, gateway)-before, cpuTime(t, redis)-beforeRedis
	for i := range events {
		name := fmt.Sprintf("s%d", i*number/events)
		if status := r.post(r.replica(0).events, name, "", faultBody()); status/100 != 2 {
			t.Fatalf("an event was answered with %d", status)
		}
		redistest.Eventually(t, "the event is delivered", func() bool { return len(r.sink.latencies(name, 0)) == 1 })
		redistest.Eventually(t, "all subscriptions have acknowledged it", func() bool { return r.idle(number) })
	}
	var took []time.Duration
	for i := range events {
		took = append(took, r.sink.latencies(fmt.Sprintf("s%d", i*number/events), 0)...)
	}
	t.Logf("FIGURES %d subscriptions: ready after %s, idle CPU %.1f %% (Redis %.1f %%), memory %d MiB (Redis %d MiB), "+
		"event to sink p50 %s, max %s",
		number, start.Round(10*time.Millisecond), share(cpu, idle), share(cpuRedis, idle), memory(t, gateway),
		memory(t, redis),
		quantile(took, 0.5).Round(time.Millisecond), quantile(took, 1).Round(time.Millisecond))
	if sink.total() != events {
		t.Errorf("%d deliveries of %d events that match one subscription each", sink.total(), events)
	}
	r.end()
}

// idle reports whether number groups have read and acknowledged everything.
func (r *rig) idle(number int) bool {
	r.names = make([]string, number)
	return r.acknowledged()
}

func processOf(t *testing.T, server *redistest.Server) int {
	t.Helper()
	info, err := server.Client().Info(context.Background(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "process_id:")
	pid, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(after, "\n", 2)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// cpuTime returns the CPU time that a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skipf("this system has no /proc: %v", err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // in ticks of USER_HZ, which is 100
}

func share(part, whole time.Duration) float64 { return 100 * float64(part) / float64(whole) }

// memory returns the resident memory of a process in MiB.
func memory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("this system has no /proc: %v", err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kib, _ := strconv.Atoi(strings.Fields(after)[0])
	return kib / 1024
}
