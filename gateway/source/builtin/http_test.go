package builtin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/internal/redistest"
)

// feedServer serves a JSON document with an ETag.
type feedServer struct {
	*httptest.Server
	mu       sync.Mutex
	elements []string
	status   int
	sent     int
	spared   int
}

func newFeed(t *testing.T) *feedServer {
	t.Helper()
	f := &feedServer{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		body := `{"meta":{},"data":{"list":[` + strings.Join(f.elements, ",") + `]}}`
		etag := fmt.Sprintf(`"%x"`, len(body))
		w.Header().Set("ETag", etag)
		switch {
		case r.Header.Get("X-Api-Key") != "secret":
			w.WriteHeader(http.StatusUnauthorized)
		case f.status != 0:
			w.WriteHeader(f.status)
		case r.Header.Get("If-None-Match") == etag:
			f.spared++
			w.WriteHeader(http.StatusNotModified)
		default:
			f.sent++
			_, _ = w.Write([]byte(body))
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *feedServer) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *feedServer) config() *builtin.HTTPConfig {
	c := builtin.NewHTTPConfig()
	c.URL, c.Items, c.Key = f.URL+"/feed?page=1", "data.list", "id.name"
	c.Headers = []builtin.HTTPHeader{{Name: "X-Api-Key", Value: "secret"}}
	c.Interval = setting.Duration(time.Second)
	return c
}

// TestFeed: what is new or has changed becomes one event, over restarts and failures; what has not changed is not sent.
func TestFeed(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	f := newFeed(t)
	f.change(func() {
		f.elements = []string{`{"id":{"name":"a"},"n":1}`, `{"no":"key"}`, `null`, `{"id":{"name":7},"n":1}`}
	})
	c := f.config()
	fast := *c
	fast.Interval = setting.Duration(10 * time.Millisecond)
	got := func() []string {
		var list []string
		for _, e := range events(t, client, stream) {
			list = append(list, strings.TrimPrefix(e.Type(), "dev.streamgate.element.")+" "+e.Subject()+" "+string(e.Data))
		}
		return list
	}
	want := []string{`create a {"id":{"name":"a"},"n":1}`, `create 7 {"id":{"name":7},"n":1}`}
	stop := start(t, client, stream, &fast)
	redistest.Eventually(t, "both are found", func() bool { return slices.Equal(got(), want) })
	f.change(func() { f.elements = slices.Delete(f.elements, 1, 3) }) // which would be read again every time
	redistest.Eventually(t, "nothing is sent again", func() (spared bool) { f.change(func() { spared = f.spared > 3 }); return spared })
	stop()
	f.change(func() { f.status = 503 })
	start(t, client, stream, &fast)
	f.change(func() {
		f.elements = append(f.elements, `{"id":{"name":"b"},"n":1}`)
		f.elements[0] = `{"id":{"name":"a"},"n":22}`
		f.status = 0
	})
	want = append(want, `update a {"id":{"name":"a"},"n":22}`, `create b {"id":{"name":"b"},"n":1}`)
	redistest.Eventually(t, "the changes are found", func() bool { return slices.Equal(got(), want) })
	if e := events(t, client, stream)[0]; e.Source() != f.URL+"/feed" {
		t.Errorf("source %q", e.Source())
	}
}

func TestFeedRefuses(t *testing.T) {
	t.Parallel()
	for path, change := range map[string]func(*builtin.HTTPConfig){
		"url": func(c *builtin.HTTPConfig) { c.URL = "ftp://x" }, "key": func(c *builtin.HTTPConfig) { c.Key = "" },
		"interval": func(c *builtin.HTTPConfig) { c.Interval = 0 }, "headers[0]": func(c *builtin.HTTPConfig) { c.Headers = []builtin.HTTPHeader{{Name: "a b"}} },
		"event": func(c *builtin.HTTPConfig) { c.Event.Type = "{nosuch}" },
	} {
		c := builtin.NewHTTPConfig()
		c.URL, c.Key = "https://example.com/feed", "id"
		change(c)
		if problems := c.Validate(""); len(problems) != 1 || problems[0].Path != path {
			t.Errorf("%s: %v", path, problems)
		}
	}
}
