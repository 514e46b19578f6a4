package stac

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/streamgate/streamgate/internal/stacsample"
)

// TestCredentialsStayAtTheirHost: the configured headers go to the host of url, and not where a next link leads.
func TestCredentialsStayAtTheirHost(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]stacsample.NextStyle{"POST": stacsample.PostMergeFalse, "GET": stacsample.GetHref, "headers": stacsample.Headers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 20)
			var crossed, leaked, bare atomic.Int32
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				crossed.Add(1)
				if r.Header.Get("X-Api-Key") != "" || r.Header.Get("Authorization") != "" || r.URL.Query().Has("key") {
					leaked.Add(1)
				}
				f.catalogue.ServeHTTP(w, r)
			}))
			t.Cleanup(other.Close)
			f.onRequest(func(_ int, _ http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("X-Api-Key") != "secret" || r.Header.Get("Authorization") != "Bearer secret" || r.URL.Query().Get("key") != "k1" {
					bare.Add(1)
				}
				return true
			})
			f.catalogue.SetQuirks(stacsample.Quirks{CrossHostNext: other.URL, NextStyle: style})
			c := f.config()
			c.URL += "?key=k1"
			c.Headers = []Header{{Name: "x-api-key", Value: "secret"}, {Name: "Authorization", Value: "Bearer secret"}}
			f.run(c)
			f.expectAll()
			if crossed.Load() == 0 || leaked.Load() > 0 || bare.Load() > 0 {
				t.Errorf("%d requests to another host, %d of them with credentials; %d home without", crossed.Load(), leaked.Load(), bare.Load())
			}
			if strings.Contains(f.logs.String(), "secret") || strings.Contains(f.logs.String(), "k1") {
				t.Error("the log holds a secret")
			}
			for _, e := range f.events() {
				if strings.Contains(e.Source()+e.Subject(), "k1") {
					t.Errorf("an event holds a secret: %v", e.Attributes)
				}
			}
		})
	}
}
