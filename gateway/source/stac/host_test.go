package stac

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/internal/redistest"
)

func address(host string) *url.URL { return &url.URL{Scheme: "https", Host: host, Path: "/"} }

// TestHostsHaveOneName, however it is written.
func TestHostsHaveOneName(t *testing.T) {
	t.Parallel()
	h := newHosts()
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

// TestHurryWhileThereIsToBeWaited: what is in a hurry goes first when the rate lets the next request through, even if it came
// later.
func TestHurryWhileThereIsToBeWaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHosts().of(address("example.com"), 0.1)
		for range requestBurst {
			if err := h.enter(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			h.leave()
		}
		order := make(chan string, 2)
		for _, name := range []string{"slow", "live"} {
			go func() {
				if err := h.enter(t.Context(), name == "slow"); err != nil {
					t.Error(err)
				}
				order <- name
				h.leave()
			}()
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if first := <-order; first != "live" {
			t.Errorf("%s went first", first)
		}
		<-order
	})
}

// TestOneRequestAtATime, over all sources of a process: those in a hurry first, the others in the order of arrival.
func TestOneRequestAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHosts().of(address("example.com"), rate.Inf)
		if err := h.enter(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		var order []string
		done := make(chan struct{})
		enter := func(name string, isSlow bool) {
			go func() {
				if err := h.enter(t.Context(), isSlow); err != nil {
					t.Error(err)
				}
				order = append(order, name)
				h.leave()
				done <- struct{}{}
			}()
			synctest.Wait()
		}
		enter("slow 1", true)
		enter("slow 2", true)
		enter("live 1", false)
		enter("live 2", false)
		gone, cancel := context.WithCancel(t.Context())
		go func() {
			if err := h.enter(gone, false); err == nil {
				t.Error("a turn for nobody")
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
		if !slices.Equal(order, []string{"live 1", "live 2", "slow 1", "slow 2"}) {
			t.Errorf("%v", order)
		}
		if h.busy {
			t.Error("the host is still busy")
		}
	})
}

// TestHostsAreShared by the sources of one type: the rate, of which the lower counts, and what the server asks for.
func TestHostsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stac := Type()
		var clients []*client
		for _, perSecond := range []float64{10, 2} {
			c := stac.NewConfig(source.Defaults{}).(*Config)
			c.URL, c.RequestsPerSecond = "https://example.com/", perSecond
			one, err := newClient(c, "streamgate/test")
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, one)
		}
		answers := atomic.Int64{}
		for _, c := range clients {
			c.http.Transport = served(func(w http.ResponseWriter, _ *http.Request) {
				if answers.Add(1) == 9 {
					w.Header().Set("Retry-After", "100")
					w.WriteHeader(http.StatusTooManyRequests)
				}
			})
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
			t.Errorf("the other source did not wait: %s", took)
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
	h := newHosts()
	kept := h.of(address("kept"), rate.Inf)
	if err := kept.enter(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxHosts {
		h.of(address(fmt.Sprint("host-", i)), rate.Inf)
	}
	if n := len(h.byName); n > maxHosts+1 {
		t.Errorf("%d hosts", n)
	}
	if h.of(address("kept"), rate.Inf) != kept {
		t.Error("a host with a request under way was dropped")
	}
}

// TestPollsGoBeforeSlowWork: an item that appears while a long sweep is under way is found long before its end.
func TestPollsGoBeforeSlowWork(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	for i := range 500 {
		f.catalogue.Put(f.item(serverKind{}, fmt.Sprint("old-", i), time.Now().AddDate(-1, 0, -i), 0))
	}
	c := f.watchConfig()
	c.Limit = 1
	f.tiers = 0
	c.Warm.Every, c.Cold.Every = 0, 0
	f.run(c)
	redistest.Eventually(t, "the sweep is under way", func() bool { return len(f.events()) > 20 })
	f.catalogue.Put(f.item(serverKind{}, "new", time.Now(), 0))
	redistest.Eventually(t, "the new item is found", func() bool { return slices.Contains(f.keys(), collection+"/new") })
	if n := len(f.events()); n > 400 {
		t.Errorf("it waited for %d events of the sweep", n)
	}
}

// TestDocumentsAreAskedForOnce: a list of collections that has not changed is not sent again.
func TestDocumentsAreAskedForOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	var sent, spared atomic.Int64
	f.onRequest(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/collections" {
			return true
		}
		recorder := httptest.NewRecorder()
		f.catalogue.ServeHTTP(recorder, r)
		etag := fmt.Sprintf(`W/"%d"`, recorder.Body.Len())
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			spared.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return false
		}
		sent.Add(1)
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes())
		return false
	})
	c := f.watchConfig()
	c.Collections = []string{"*"}
	f.run(c)
	redistest.Eventually(t, "it is asked again", func() bool { return spared.Load() > 3 })
	f.catalogue.AddCollection("another", "Another")
	redistest.Eventually(t, "the change is seen", func() bool { return f.stateOf("another").Engine != "" })
	if n := sent.Load(); n != 2 {
		t.Errorf("the list was sent %d times, for 2 states of it", n)
	}
}

// TestLinksIntoThePrivateNetwork are not followed, unless that is allowed, or the server is there itself.
func TestLinksIntoThePrivateNetwork(t *testing.T) {
	t.Parallel()
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	t.Cleanup(inside.Close)
	for name, c := range map[string]struct {
		base    string
		allowed []string
		want    bool
	}{
		"public": {"https://earth-search.example.com/v1", nil, false}, "allowed": {"https://earth-search.example.com/v1", []string{"127.0.0.0/8"}, true},
		"private": {"http://10.1.2.3/", nil, true}, "this machine": {"http://localhost:1/", nil, true},
	} {
		client := testClient(t, c.base, func(config *Config) { config.AllowHosts = c.allowed })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := client.once(ctx, getFrom(inside.URL), readAll)
		cancel()
		if (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
