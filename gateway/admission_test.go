package gateway_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/gateway/schema"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// send posts JSON and returns the status, the headers and the answer.
func send(t *testing.T, url, contentType, body string) (int, http.Header, string) {
	t.Helper()
	status, header, answer := do(t, http.MethodPost, url, "Content-Type: "+contentType+"\n", body)
	return status, header, string(answer)
}

const careless = `{"ID":"1","source":"/a b","type":"t","time":"2026-01-02 03:04:05Z","foo":1.5}`

// TestValidation: a lenient stream mends what a strict one refuses, says what, and counts it.
func TestValidation(t *testing.T) {
	t.Parallel()
	client, strict := redistest.Shared(t).Client(), redistest.Stream(t)
	c := oneStream(strict)
	lenient := stream.NewConfig()
	lenient.Name, lenient.Validation = strict+"-lenient", "lenient"
	c.Streams = append(c.Streams, lenient)
	g := start(t, client, c)
	for _, batch := range []bool{false, true} {
		contentType, body := rawevent.MediaTypeJSON, careless
		if batch {
			contentType, body = rawevent.MediaTypeBatch, "["+careless+"]"
		}
		if status, _, answer := send(t, g.url+"/"+strict, contentType, body); status != http.StatusBadRequest {
			t.Errorf("strict: %d %s", status, answer)
		}
		status, header, answer := send(t, g.url+"/"+lenient.Name, contentType, body)
		if status != http.StatusAccepted {
			t.Fatalf("lenient: %d %s", status, answer)
		}
		names := strings.Split(header.Get("Streamgate-Mended"), ", ")
		if slices.Sort(names); !slices.Equal(names, []string{"foo", "id", "source", "specversion", "time"}) {
			t.Errorf("mended %v", names)
		}
		if status, _, answer := send(t, g.url+"/"+lenient.Name, contentType, strings.Replace(body, `"type"`, `"tipe"`, 1)); status != http.StatusBadRequest {
			t.Errorf("without a type: %d %s", status, answer)
		}
	}
	for _, e := range readEvents(t, client, lenient.Name) {
		if got := string(e.AppendJSON(nil)); got != `{"specversion":"1.0","id":"1","source":"/a%20b","type":"t","time":"2026-01-02T03:04:05Z","foo":"1.5"}` {
			t.Errorf("stored %s", got)
		}
	}
	if n := counter(t, g.registry, "streamgate_requests_mended_total"); n != 2 {
		t.Errorf("%v requests are counted", n)
	}
	if _, header, _ := send(t, g.url+"/"+lenient.Name, rawevent.MediaTypeJSON, `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`); header["Streamgate-Mended"] != nil {
		t.Error("what was valid is said to be mended")
	}
}

// TestSchemas: data that violates its schema is refused with 422 and the place, in a batch with all the others.
func TestSchemas(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	file := filepath.Join(t.TempDir(), "place.json")
	if err := os.WriteFile(file, []byte(`{"$id":"https://example.com/place.json","properties":{"city":{"type":"string"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := oneStream(stream)
	c.Streams[0].Schemas = []schema.Config{
		{Schema: `{"required":["id"],"properties":{"to":{"$ref":"https://example.com/place.json"}}}`, Type: "com.example.order.*"}, {File: file},
	}
	g := start(t, client, c)
	order := func(data string) string {
		return `{"specversion":"1.0","id":"1","source":"/s","type":"com.example.order.made","data":` + data + `}`
	}
	for _, data := range []string{`{"id":1,"to":{"city":"Rome"}}`, `{"id":[]}`} {
		if status, _, answer := send(t, g.url, rawevent.MediaTypeJSON, order(data)); status != http.StatusAccepted {
			t.Errorf("%s: %d %s", data, status, answer)
		}
	}
	if status, _ := post(t, g.url, event("other")); status != http.StatusAccepted {
		t.Errorf("no schema is for it: %d", status)
	}
	for contentType, body := range map[string]string{
		rawevent.MediaTypeJSON:  order(`{"id":1,"to":{"city":["secret"]}}`),
		rawevent.MediaTypeBatch: "[" + order(`{"id":1}`) + "," + order(`{"id":1,"to":{"city":["secret"]}}`) + "]",
	} {
		status, header, answer := send(t, g.url, contentType, body)
		var problem struct {
			Index      *int
			Detail     string
			Violations []struct{ Path, Schema string }
		}
		if err := json.Unmarshal([]byte(answer), &problem); err != nil || status != http.StatusUnprocessableEntity || header.Get("Content-Type") != "application/problem+json" {
			t.Fatalf("%d %s", status, answer)
		}
		if (problem.Index != nil) != (contentType == rawevent.MediaTypeBatch) || problem.Index != nil && *problem.Index != 1 {
			t.Errorf("index %v", problem.Index)
		}
		if v := problem.Violations; len(v) != 1 || v[0].Path != "/to/city" || v[0].Schema != "https://example.com/place.json#/properties/city/type" {
			t.Errorf("violations %v", v)
		}
		if strings.Contains(answer, "secret") {
			t.Errorf("a value is told: %s", answer)
		}
	}
	if n := client.XLen(t.Context(), stream).Val(); n != 3 {
		t.Errorf("%d events are stored", n)
	}
}

func TestWrongSchemas(t *testing.T) {
	t.Parallel()
	for want, schemas := range map[string][]schema.Config{
		"there must be one of file and schema": {{Type: "t"}},
		"no such file":                         {{File: "/nonexistent/schema.json", Type: "t"}},
		"is not configured":                    {{Schema: `{"$ref":"file:///etc/passwd"}`, Type: "t"}},
	} {
		stream := stream.NewConfig()
		stream.Name, stream.Schemas = "s", schemas
		problems := stream.Validate()
		if len(problems) != 1 || problems[0].Path != "schemas[0]" || !strings.Contains(problems[0].Message, want) {
			t.Errorf("want %q, got %v", want, problems)
		}
	}
}
