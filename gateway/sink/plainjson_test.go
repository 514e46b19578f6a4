package sink

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// TestGeoJSONInTheJSONFormat: sdk-go can read what is sent, in all formats; binary mode keeps the media type.
func TestGeoJSONInTheJSONFormat(t *testing.T) {
	t.Parallel()
	const geo, own = "application/geo+json; charset=utf-8", "application/vnd.example+json"
	for name, c := range map[string]struct{ format, plain, contentType, want string }{
		"structured":       {FormatJSON, PlainGeoJSON, geo, "application/json"},
		"batch":            {FormatBatch, PlainGeoJSON, geo, "application/json"},
		"binary":           {FormatBinary, PlainGeoJSON, geo, geo},
		"none":             {FormatJSON, PlainNoJSON, geo, geo},
		"another type":     {FormatJSON, PlainGeoJSON, own, own},
		"all":              {FormatJSON, PlainAllJSON, own, "application/json"},
		"events in events": {FormatJSON, PlainAllJSON, "application/cloudevents+json", "application/cloudevents+json"},
		"not JSON":         {FormatJSON, PlainAllJSON, "image/svg+xml", "image/svg+xml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan [2]string, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got <- [2]string{r.Header.Get("Content-Type"), string(body)}
				w.WriteHeader(http.StatusNoContent)
			}))
			t.Cleanup(server.Close)
			s, err := New(&Config{URI: server.URL}, Options{
				Format: c.format, PlainJSON: c.plain, Batch: BatchConfig{MaxEvents: 1, MaxDelay: 1}, Timeout: 10 * time.Second,
				Connections: 1, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			item := anItem("1")
			item.Event.DataContentType, item.Event.Data = c.contentType, []byte(`{"type":"Feature"}`)
			if o := s.Deliver(context.Background(), item); o.Verdict() != Delivered {
				t.Fatal(o.Describe())
			}
			if item.Event.DataContentType != c.contentType {
				t.Error("the event itself was changed")
			}
			checkSent(t, c.format, c.want, <-got)
		})
	}
}

func checkSent(t *testing.T, format, want string, got [2]string) {
	t.Helper()
	if format == FormatBinary {
		if got[0] != want {
			t.Errorf("Content-Type: %s, want %s", got[0], want)
		}
		return
	}
	text := []byte(got[1])
	if format == FormatBatch {
		text = text[1 : len(text)-1]
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil || members["datacontenttype"] != want {
		t.Errorf("%s, %v; want datacontenttype %s", text, err, want)
	}
	if want == "application/json" {
		var e event.Event
		if err := json.Unmarshal(text, &e); err != nil {
			t.Errorf("sdk-go cannot read it: %v", err)
		}
	}
}
