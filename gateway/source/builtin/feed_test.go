package builtin_test

import (
	"bytes"
	"compress/gzip"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/builtin"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// pollOnce returns what a poll of a feed would publish.
func pollOnce(t *testing.T, c *builtin.HTTPConfig) (data []string, err error) {
	t.Helper()
	env := source.Env{Name: "src", Stream: "S", UserAgent: "streamgate/test", Logger: slog.New(slog.DiscardHandler)}
	env.Outbox = source.NewPreview(nil, env, func(e *rawevent.Event) error {
		data = append(data, string(e.Data))
		return nil
	})
	s, err := c.NewSource(env)
	if err != nil {
		t.Fatal(err)
	}
	return data, s.RunOnce(t.Context())
}

// TestFeedsThatAreNotFeeds are told as what they are, with their address, status and content type, without secrets.
func TestFeedsThatAreNotFeeds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status                int
		contentType, encoding string
		location, body, items string
		want                  string   // in the error
		elements              []string // where there is none
	}{
		"a list":              {body: `[{"id":1}]`, elements: []string{`{"id":1}`}},
		"an empty list":       {body: `[]`},
		"a byte order mark":   {body: "\ufeff[{\"id\":1}]", elements: []string{`{"id":1}`}},
		"Latin-1":             {contentType: "application/json; charset=iso-8859-1", body: "[{\"id\":\"\xe9\"}]", elements: []string{`{"id":"é"}`}},
		"gzip, unasked":       {body: zipped(`[{"id":1}]`), elements: []string{`{"id":1}`}},
		"a sign-in page":      {contentType: "text/html; charset=utf-8", body: "<html><title>Sign in</title></html>", want: `answered 200 (text/html): the content is not JSON, but an HTML page with the title "Sign in"`},
		"NaN":                 {body: `[{"id":1,"v":NaN}]`, want: "NaN at line 1, column 14; JSON has no such number"},
		"null":                {body: `null`, want: "the document is null, not a list"},
		"text":                {body: `"[]"`, want: "the document is text, not a list"},
		"a number":            {body: `7`, want: "the document is a number, not a list"},
		"an object":           {body: `{"data":[],"meta":{}}`, want: "the document is an object with the members data, meta, not a list; write into items"},
		"no such member":      {body: `{"results":[]}`, items: "data.list", want: `items ("data.list") leads to nothing: there is no "data" in an object with the members results`},
		"no list at items":    {body: `{"data":{"list":null}}`, items: "data.list", want: `what is at items ("data.list") is null, not a list`},
		"nothing":             {body: ``, want: "the content is not JSON, but empty"},
		"cut off":             {body: `[{"id":1},`, want: "it ends too early"},
		"not UTF-8":           {body: "[{\"id\":\"\xe9\"}]", want: "not valid UTF-8"},
		"another compression": {encoding: "br", body: "xx", want: "compressed with br"},
		"401":                 {status: 401, body: `{"detail":"no key"}`, want: `answered 401 (application/json): {"detail":"no key"}; check the credentials`},
		"404":                 {status: 404, contentType: "text/html", body: "<html><title>Nothing</title>", want: `an HTML page with the title "Nothing"; check url`},
		"503":                 {status: 503, contentType: "text/plain", body: "down\nfor a while", want: "answered 503 (text/plain): down for a while"},
		"a redirect":          {status: 302, location: "https://login.example.com/sign-in?token=secret", want: "it redirects to https://login.example.com/sign-in, which is not followed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for header, value := range map[string]string{
					"Content-Type": cmpOr(c.contentType, "application/json"), "Content-Encoding": c.encoding, "Location": c.location,
				} {
					if value != "" {
						w.Header().Set(header, value)
					}
				}
				if c.status != 0 {
					w.WriteHeader(c.status)
				}
				_, _ = w.Write([]byte(c.body))
			}))
			t.Cleanup(server.Close)
			config := builtin.NewHTTPConfig()
			config.URL, config.Key, config.Items = server.URL+"/feed?key=secret", "id", c.items
			data, err := pollOnce(t, config)
			if c.want == "" {
				if err != nil || !slices.Equal(data, c.elements) {
					t.Errorf("%q, %v", data, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), server.URL+"/feed answered") {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if text := err.Error(); strings.Contains(text, "secret") || strings.Contains(text, "invalid character") || len(data) > 0 {
				t.Errorf("error %q, data %q", text, data)
			}
		})
	}
}

func cmpOr(one, other string) string {
	if one != "" {
		return one
	}
	return other
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

// TestFilesOfLines as programs write them: with a byte order mark, CRLF, blank lines, and without an end of the last
// line.
func TestFilesOfLines(t *testing.T) {
	t.Parallel()
	one := func(id string) string { return `{"specversion":"1.0","id":"` + id + `","source":"/s","type":"t"}` }
	for name, c := range map[string]struct {
		parts []string // written one after the other, each once what was before it is published
		want  string
	}{
		"plain":              {[]string{one("1") + "\n" + one("2") + "\n"}, "1 2"},
		"a byte order mark":  {[]string{"\ufeff" + one("1") + "\r\n" + one("2") + "\r\n"}, "1 2"},
		"a mark and a blank": {[]string{"\ufeff\r\n" + one("1") + "\n"}, "1"},
		"blank lines":        {[]string{"\n\r\n \t\n" + one("1") + "\n\n\n" + one("2") + "\n"}, "1 2"},
		"no end at the end":  {[]string{one("1") + "\n" + one("2"), "\n" + one("3"), "\r\n\r\n" + one("4") + "\n"}, "1 2 3 4"},
		"not UTF-8":          {[]string{one("1") + "\n{\"x\":\"\xe9\"}\n" + one("2") + "\n"}, "1 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			config := builtin.NewFileConfig()
			config.Path, config.Interval = filepath.Join(t.TempDir(), "events.ndjson"), setting.Duration(10*time.Millisecond)
			start(t, client, stream, config)
			n := 0
			for _, part := range c.parts {
				appendLine(t, config.Path, part)
				n += strings.Count(part, "specversion")
				redistest.Eventually(t, "the events are there", func() bool { return len(ids(t, client, stream)) >= n })
			}
			if got := strings.ReplaceAll(strings.Join(ids(t, client, stream), " "), "/s ", ""); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
