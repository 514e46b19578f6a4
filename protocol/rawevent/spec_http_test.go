package rawevent_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// throughClient sends e in binary mode with net/http's own client, and returns what a server reads.
func throughClient(t *testing.T, protocols *http.Protocols, e rawevent.Event) (rawevent.Event, error) {
	t.Helper()
	type result struct {
		event rawevent.Event
		err   error
	}
	results := make(chan result, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got result
		body, err := io.ReadAll(r.Body)
		if err == nil {
			got.event, err = rawevent.FromHTTP(r.Header, body)
		}
		got.err = err
		results <- got
	}))
	server.Config.Protocols = protocols
	server.Start()
	transport := &http.Transport{Protocols: protocols}
	defer func() {
		transport.CloseIdleConnections()
		server.Close()
	}()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, bytes.NewReader(e.Data))
	if err != nil {
		t.Fatal(err)
	}
	e.WriteHTTP(request.Header)
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	got := <-results
	return got.event, got.err
}

func awkward() rawevent.Event {
	e := rawevent.New("%41 \"q\"", "HTTP://EX.com/a?#", "é€😀")
	e.Set("time", "2020-01-02T03:04:05.0123456789+05:30")
	e.Set("subject", " leading and trailing ")
	e.Set("dataschema", "urn:x:%25")
	e.Set("empty", "")
	e.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.Set("9", `"`)
	e.DataContentType, e.Data = `text/plain; a="b;c=\"d\""`, []byte("\x00\r\n\xff")
	return e
}

// TestHTTPBothVersions: HTTP protocol binding section 1.2, the same over HTTP/1.1 and HTTP/2.
func TestHTTPBothVersions(t *testing.T) {
	t.Parallel()
	var one, two http.Protocols
	one.SetHTTP1(true)
	two.SetUnencryptedHTTP2(true)
	for name, protocols := range map[string]*http.Protocols{"HTTP/1.1": &one, "HTTP/2": &two} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := throughClient(t, protocols, awkward())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(awkward(), got); diff != "" {
				t.Errorf("-sent +read:\n%s", diff)
			}
		})
	}
}

// TestHTTPEncode: section 3.1.3.2. Space, double quote, percent and all outside U+0021-007E must be encoded, byte by
// byte in upper case, and nothing else should be.
func TestHTTPEncode(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`Euro € 100% "q"`: "Euro%20%E2%82%AC%20100%25%20%22q%22",
		"😀":               "%F0%9F%98%80",
		"\u00a0":          "%C2%A0",
		"%20":             "%2520",
		"":                "",
		"~!":              "~!",
		"a\r\nb\x01\x7f":  "a%0D%0Ab%01%7F", // no legal String, but a header must not be split all the same
	} {
		e := rawevent.New("1", "/s", "t")
		e.Set("subject", value)
		header := http.Header{}
		e.WriteHTTP(header)
		if got := header.Get("ce-subject"); got != want {
			t.Errorf("%q is written as %q, want %q", value, got, want)
		}
	}
	var plain strings.Builder
	for c := byte(0x21); c < 0x7f; c++ {
		if c != '"' && c != '%' {
			plain.WriteByte(c)
		}
	}
	e := rawevent.New(plain.String(), "/s", "t")
	header := http.Header{}
	e.WriteHTTP(header)
	if got := header.Get("ce-id"); got != plain.String() {
		t.Errorf("needlessly encoded: %q", got)
	}
}

// TestHTTPControlCharactersAreNoEvent: what the encoder would have to write as %0D is refused before.
func TestHTTPControlCharactersAreNoEvent(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"a\r\nb", "a\nb", "\x01", "\t", "\x7f"} {
		e := rawevent.New("1", "/s", "t")
		e.Set("subject", value)
		if err := e.Validate(); err == nil || asError(t, err).Attribute != "subject" {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// TestHTTPHeaders: sections 3.1.1 and 3.1.3. Every attribute is one ce- header in net/http's canonical form, but
// datacontenttype, which is the Content-Type and must not be given twice.
func TestHTTPHeaders(t *testing.T) {
	t.Parallel()
	e := rawevent.New("1", "/s", "t")
	for name, value := range map[string]string{
		"time": "2020-01-02T03:04:05Z", "subject": "s", "dataschema": "urn:x", "datacontenttype": "text/plain", "foo": "x", "9a": "y", "ce": "z",
	} {
		e.Set(name, value)
	}
	header := http.Header{"Ce-Foo": {"old", "older"}, "Content-Type": {"old/type"}, "User-Agent": {"kept"}}
	e.WriteHTTP(header)
	want := http.Header{
		"Ce-Specversion": {
			"1.0",
		},
		"Ce-Id":      {"1"},
		"Ce-Source":  {"/s"},
		"Ce-Type":    {"t"},
		"Ce-Time":    {"2020-01-02T03:04:05Z"},
		"Ce-Subject": {"s"},
		"Ce-Dataschema": {
			"urn:x",
		},
		"Content-Type": {"text/plain"},
		"Ce-Foo":       {"x"},
		"Ce-9a":        {"y"},
		"Ce-Ce":        {"z"},
		"User-Agent":   {"kept"},
	}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for key := range header {
		if key != http.CanonicalHeaderKey(key) {
			t.Errorf("the header %q is not in canonical form", key)
		}
	}
}

// TestHTTPContentTypeIsNotDecoded: the coding of section 3.1.3.2 is for ce- headers only.
func TestHTTPContentTypeIsNotDecoded(t *testing.T) {
	t.Parallel()
	header := headerOf(append(httpRow{}.headerLines(), `Content-Type: text/plain; a="%20"; b=%41`))
	e, err := rawevent.FromHTTP(header, nil)
	has("datacontenttype", `text/plain; a="%20"; b=%41`)(t, &e, err)
	written := http.Header{}
	e.WriteHTTP(written)
	if got := written.Get("Content-Type"); got != `text/plain; a="%20"; b=%41` {
		t.Errorf("written as %q", got)
	}
}

// TestHTTPReadDoesNotKeepTheHeader: servers use a header map again.
func TestHTTPReadDoesNotKeepTheHeader(t *testing.T) {
	t.Parallel()
	header := headerOf(httpRow{}.headerLines())
	e, err := rawevent.FromHTTP(header, nil)
	accepted(t, &e, err)
	header.Set("ce-id", "changed")
	if e.ID() != "1" || e.Source() != "/s" || e.Type() != "t" || e.Subject() != "" {
		t.Errorf("the event is now %+v", e)
	}
}

// TestHTTPEventInEvent: section 3. In binary mode the inner event would pass for the outer one, as the media type tells
// the mode. ModeOf is how a sender sees that coming, and JSON is what it has to use.
func TestHTTPEventInEvent(t *testing.T) {
	t.Parallel()
	outer := rawevent.New("outer", "/s", "t")
	outer.DataContentType, outer.Data = rawevent.MediaTypeJSON, []byte(minimal)
	if err := outer.Validate(); err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	outer.WriteHTTP(header)
	e, err := rawevent.FromHTTP(header, outer.Data)
	has("id", "1")(t, &e, err)
	if rawevent.ModeOf(outer.DataContentType) == rawevent.Binary {
		t.Error("ModeOf does not warn")
	}
	e, err = rawevent.FromHTTP(http.Header{"Content-Type": {rawevent.MediaTypeJSON}}, outer.AppendJSON(nil))
	all(has("id", "outer"), hasData(minimal))(t, &e, err)
}
