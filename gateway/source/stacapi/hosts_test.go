package stacapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

func address(host string) *url.URL { return &url.URL{Scheme: "https", Host: host, Path: "/"} }

// TestHostsHaveOneName, however it is written.
func TestHostsHaveOneName(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	one := h.of(address("example.com"), rate.Inf)
	for _, name := range []string{"Example.com", "example.com:443", "example.com."} {
		if h.of(address(name), rate.Inf) != one {
			t.Errorf("%s is another host", name)
		}
	}
	if h.of(address("example.com:8443"), rate.Inf) == one {
		t.Error("another port is the same host")
	}
}

// TestForegroundGoesFirstAfterAWait: when the rate admits the next request, a foreground request goes first, even if it
// came later.
func TestForegroundGoesFirstAfterAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHosts().of(address("example.com"), 0.1)
		for range requestBurst {
			if err := h.enter(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			h.leave()
		}
		order := make(chan string, 2)
		for _, name := range []string{"background", "foreground"} {
			go func() {
				if err := h.enter(t.Context(), name == "background"); err != nil {
					t.Error(err)
				}
				order <- name
				h.leave()
			}()
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if first := <-order; first != "foreground" {
			t.Errorf("%s went first", first)
		}
		<-order
	})
}

// TestOneRequestAtATime, over all clients of a process: foreground requests first, otherwise in the order of arrival.
func TestOneRequestAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHosts().of(address("example.com"), rate.Inf)
		if err := h.enter(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		var order []string
		done := make(chan struct{})
		enter := func(name string, background bool) {
			go func() {
				if err := h.enter(t.Context(), background); err != nil {
					t.Error(err)
				}
				order = append(order, name)
				h.leave()
				done <- struct{}{}
			}()
			synctest.Wait()
		}
		enter("background 1", true)
		enter("background 2", true)
		enter("foreground 1", false)
		enter("foreground 2", false)
		gone, cancel := context.WithCancel(t.Context())
		go func() {
			if err := h.enter(gone, false); err == nil {
				t.Error("a request whose context has ended got a turn")
			}
			done <- struct{}{}
		}()
		synctest.Wait()
		cancel()
		<-done
		h.leave()
		for range 4 {
			<-done
		}
		if !slices.Equal(order, []string{"foreground 1", "foreground 2", "background 1", "background 2"}) {
			t.Errorf("%v", order)
		}
		if h.busy {
			t.Error("the host is still busy")
		}
	})
}

// TestHostsAreShared by the clients that are given them: the rate, of which the lower counts, and what the server asks
// for.
func TestHostsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := atomic.Int64{}
		shared := Config{URL: "https://example.com/", Hosts: NewHosts(), Transport: served(func(w http.ResponseWriter, _ *http.Request) {
			if answers.Add(1) == 9 {
				w.Header().Set("Retry-After", "100")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})}
		var clients []*Client
		for _, perSecond := range []float64{10, 2} {
			shared.RequestsPerSecond = perSecond
			one, err := New(shared)
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, one)
		}
		started := time.Now()
		for range 4 {
			for _, c := range clients {
				if err := c.get(t.Context(), getFrom("https://example.com/x"), false, readAll); err != nil {
					t.Fatal(err)
				}
			}
		}
		if took := time.Since(started); took < 2500*time.Millisecond || took > 4*time.Second {
			t.Errorf("8 requests took %s, at 2 a second", took)
		}
		go func() { _ = clients[0].get(t.Context(), getFrom("https://example.com/x"), false, readAll) }()
		synctest.Wait()
		time.Sleep(time.Second)
		before := time.Now()
		if err := clients[1].get(t.Context(), getFrom("https://example.com/x"), false, readAll); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); took < 95*time.Second {
			t.Errorf("the other client did not wait: %s", took)
		}
		if err := clients[1].get(t.Context(), getFrom("https://other.example.com/x"), false, readAll); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	})
}

// TestHostsAreBounded.
func TestHostsAreBounded(t *testing.T) {
	t.Parallel()
	h := NewHosts()
	kept := h.of(address("kept"), rate.Inf)
	if err := kept.enter(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxKnownHosts {
		h.of(address(fmt.Sprint("host-", i)), rate.Inf)
	}
	if n := len(h.byName); n > maxKnownHosts+1 {
		t.Errorf("%d hosts", n)
	}
	if h.of(address("kept"), rate.Inf) != kept {
		t.Error("a host with a request under way was dropped")
	}
}
