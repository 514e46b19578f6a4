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
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/internal/redistest"
)

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
	target, err := url.Parse(inside.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		base    string
		allowed []string
		want    bool
	}{
		"public": {"http://earth-search.example.com/v1", nil, false}, "allowed": {"http://earth-search.example.com/v1", []string{"127.0.0.0/8"}, true},
		"from https to http": {"https://earth-search.example.com/v1", []string{"127.0.0.0/8"}, false},
		"private":            {"http://10.1.2.3/", nil, true}, "this machine": {"http://localhost:1/", nil, true},
	} {
		config := NewConfig()
		config.URL, config.AllowHosts, config.pace = c.base, c.allowed, pace{perSecond: rate.Inf, pause: time.Millisecond}
		client, err := newClient(config, "streamgate/test")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err = client.ReadCatalog(ctx, target)
		cancel()
		client.Close()
		if (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSourcesShareTheLimitsOfHosts: all sources that the list of a gateway makes, and no others.
func TestSourcesShareTheLimitsOfHosts(t *testing.T) {
	t.Parallel()
	stac := Type()
	one, other := stac.NewConfig(source.Defaults{}).(*Config), stac.NewConfig(source.Defaults{}).(*Config)
	if one.hosts == nil || one.hosts != other.hosts || one.hosts == NewConfig().hosts {
		t.Error("the sources do not share their limits")
	}
}
