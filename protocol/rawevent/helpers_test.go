package rawevent_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// expectation judges what a decoder made of an input.
type expectation func(t *testing.T, e *rawevent.Event, err error)

// all expects every one of them of an accepted event.
func all(expectations ...expectation) expectation {
	return func(t *testing.T, e *rawevent.Event, err error) {
		t.Helper()
		for _, expect := range expectations {
			expect(t, e, err)
		}
	}
}

func accepted(t *testing.T, e *rawevent.Event, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	if err := e.Validate(); err != nil {
		t.Errorf("accepted, but Validate says: %v", err)
	}
}

// has expects the attribute with exactly this value.
func has(name, value string) expectation {
	return func(t *testing.T, e *rawevent.Event, err error) {
		t.Helper()
		accepted(t, e, err)
		if got, found := e.Attribute(name); !found || got != value {
			t.Errorf("attribute %s = %q (present: %v), want %q", name, got, found, value)
		}
	}
}

func lacks(name string) expectation {
	return func(t *testing.T, e *rawevent.Event, err error) {
		t.Helper()
		accepted(t, e, err)
		if got, found := e.Attribute(name); found {
			t.Errorf("attribute %s = %q, want none", name, got)
		}
	}
}

// hasData expects data of exactly these bytes, also when there are none.
func hasData(data string) expectation {
	return func(t *testing.T, e *rawevent.Event, err error) {
		t.Helper()
		accepted(t, e, err)
		if e.Data == nil || string(e.Data) != data {
			t.Errorf("data = %q (absent: %v), want %q", e.Data, e.Data == nil, data)
		}
	}
}

func noData(t *testing.T, e *rawevent.Event, err error) {
	t.Helper()
	accepted(t, e, err)
	if e.Data != nil {
		t.Errorf("data = %q, want none", e.Data)
	}
}

// refused expects an [rawevent.Error] of this kind that blames this attribute.
func refused(reason rawevent.Reason, attribute string) expectation {
	return func(t *testing.T, e *rawevent.Event, err error) {
		t.Helper()
		if err == nil {
			t.Fatalf("accepted as %+v", *e)
		}
		got := asError(t, err)
		if got.Reason != reason || got.Attribute != attribute {
			t.Errorf("refused with reason %v and attribute %q (%v), want reason %v and attribute %q",
				got.Reason, got.Attribute, err, reason, attribute)
		}
		if got.Index != -1 {
			t.Errorf("index %d outside of a batch", got.Index)
		}
	}
}

func invalid(attribute string) expectation { return refused(rawevent.Invalid, attribute) }

// asError checks what every error has to be.
func asError(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, err error,
) *rawevent.Error {
	t.Helper()
	var e *rawevent.Error
	if !errors.As(err, &e) || e == nil {
		t.Fatalf("the error %#v is not an *Error", err)
	}
	if e.Rule == "" {
		t.Fatalf("the error %#v names no rule", e)
	}
	if !utf8.ValidString(e.Attribute) {
		t.Fatalf("the error blames %q, which is cut inside a character", e.Attribute)
	}
	if !strings.Contains(e.Error(), e.Rule) {
		t.Fatalf("the text %q does not name the rule %q", e.Error(), e.Rule)
	}
	return e
}

const (
	opening = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	minimal = `{` + opening + `}`
)

// with returns a minimal event in JSON with more members.
func with(members string) string { return `{` + opening + `,` + members + `}` }

// without returns a minimal event in JSON in which other members stand for one of the required ones.
func without(name, members string) string {
	var kept []string
	for part := range strings.SplitSeq(opening, ",") {
		if !strings.HasPrefix(part, `"`+name+`"`) {
			kept = append(kept, part)
		}
	}
	if members != "" {
		kept = append(kept, members)
	}
	return `{` + strings.Join(kept, ",") + `}`
}

// headerOf makes of header lines the map that net/http would.
func headerOf(lines []string) http.Header {
	header := http.Header{}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, ":")
		key = textproto.CanonicalMIMEHeaderKey(key)
		header[key] = append(header[key], strings.Trim(value, " \t"))
	}
	return header
}

// answer is how the test server says what FromHTTP returned.
type answer struct {
	Event rawevent.Event
	Error *rawevent.Error
}

// newServer returns a server that reads one event from every request.
func newServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var reply answer
		body, err := io.ReadAll(r.Body)
		if err == nil {
			reply.Event, err = rawevent.FromHTTP(r.Header, body)
		}
		if err != nil && !errors.As(err, &reply.Error) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(reply)
	}))
	t.Cleanup(server.Close)
	return server
}

// overSocket writes a request as it stands here, byte by byte, which no HTTP client would. It returns the status, and
// what FromHTTP said if the request got so far.
func overSocket(
	t *testing.T,
	server *httptest.Server,
	requestLine string,
	lines []string,
	body string,
) (int, *rawevent.Event, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var request strings.Builder
	fmt.Fprintf(
		&request,
		"%s\r\nHost: gateway.example\r\nConnection: close\r\nContent-Length: %d\r\n",
		requestLine,
		len(body),
	)
	for _, line := range lines {
		request.WriteString(line + "\r\n")
	}
	request.WriteString("\r\n" + body)
	if _, err := io.WriteString(conn, request.String()); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusAccepted {
		return response.StatusCode, nil, nil
	}
	var reply answer
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		t.Fatal(err)
	}
	if reply.Error != nil {
		return response.StatusCode, &reply.Event, reply.Error
	}
	return response.StatusCode, &reply.Event, nil
}
