package peer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/streamgate/streamgate/gateway/peer"
)

func response(t *testing.T, status int, header http.Header, body string) *http.Response {
	t.Helper()
	address, err := url.Parse("https://user:pass@sink.example.com/a/b?token=secret#x")
	if err != nil {
		t.Fatal(err)
	}
	return &http.Response{
		StatusCode: status, Header: header, ContentLength: -1, Body: io.NopCloser(strings.NewReader(body)),
		Request: &http.Request{URL: address},
	}
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAnswers: what the server sent, readably and in one line.
func TestAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5000)
	for name, c := range map[string]struct {
		status                      int
		contentType, encoding, body string
		location                    string
		want                        string
	}{
		"text":       {status: 200, contentType: "text/plain; charset=utf-8", body: "OK", want: "200 OK (text/plain): OK"},
		"lines":      {status: 500, body: " a\r\n\tb\x1b[31m ", want: "500 Internal Server Error: a b?[31m"},
		"empty":      {status: 503, contentType: "text/plain", want: "503 Service Unavailable"},
		"own status": {status: 599, want: "599"},
		"JSON":       {status: 400, contentType: "application/json", body: `{"error":"no"}`, want: `400 Bad Request (application/json): {"error":"no"}`},
		"HTML": {
			status: 502, contentType: "text/html", body: "<html><head><title>502 Bad Gateway</title>" + long,
			want: `502 Bad Gateway (text/html): an HTML page with the title "502 Bad Gateway"`,
		},
		"gzip":             {status: 400, encoding: "gzip", body: packed(t, "no customer"), want: "400 Bad Request: no customer"},
		"gzip, long":       {status: 400, encoding: "gzip", body: packed(t, long), want: "400 Bad Request: " + strings.Repeat("x", 200) + "..."},
		"gzip, unlabelled": {status: 400, body: packed(t, "no customer"), want: "400 Bad Request: no customer"},
		"brotli":           {status: 400, contentType: "text/plain", encoding: "br", body: "\x0b", want: "400 Bad Request (text/plain): the content is compressed with br; supported are gzip and deflate"},
		"not gzip":         {status: 400, encoding: "gzip", body: "x", want: "400 Bad Request: Content-Encoding says gzip, but the content is not gzip data"},
		"Latin-1":          {status: 400, contentType: "text/plain; charset=iso-8859-1", body: "caf\xe9", want: "400 Bad Request (text/plain): café"},
		"an image":         {status: 400, contentType: "image/png", body: "\x89PNG\xff", want: "400 Bad Request (image/png): content that is not text"},
		"redirect":         {status: 302, location: "../c?token=secret", body: "moved", want: "302 Found, a redirect to https://sink.example.com/c, which is not followed"},
		"redirect away":    {status: 308, location: "http://u:p@other.example.com", want: "308 Permanent Redirect, a redirect to http://other.example.com, which is not followed"},
		"redirect broken":  {status: 301, location: "http://[", want: "301 Moved Permanently, a redirect to an address that is not valid, which is not followed"},
		"created":          {status: 201, location: "/x", body: "ok", want: "201 Created: ok"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			for name, value := range map[string]string{"Content-Type": c.contentType, "Content-Encoding": c.encoding, "Location": c.location} {
				if value != "" {
					header.Set(name, value)
				}
			}
			sent := response(t, c.status, header, c.body)
			defer func() { _ = sent.Body.Close() }()
			answer := peer.Read(sent)
			if got := answer.Describe(); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if got := answer.String(); got != "https://sink.example.com/a/b answered "+c.want {
				t.Error(got)
			}
			if len(answer.Text) > 1024 {
				t.Errorf("%d bytes of text", len(answer.Text))
			}
		})
	}
}

// TestCauses: every fault in words for operators, and none of net/http's.
func TestCauses(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"none":        {nil, ""},
		"refused":     {dial(syscall.ECONNREFUSED), "nothing listens"},
		"reset":       {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "the server broke the connection"},
		"pipe":        {&net.OpError{Op: "write", Err: syscall.EPIPE}, "the server broke the connection"},
		"closed":      {io.EOF, "the server closed the connection before it answered"},
		"cut off":     {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "the server closed the connection"},
		"unreachable": {dial(syscall.EHOSTUNREACH), "cannot be reached"},
		"no name":     {dial(&net.DNSError{Err: "no such host", Name: "sink.invalid", IsNotFound: true}), `the host name "sink.invalid" does not exist`},
		"no server":   {dial(&net.DNSError{Err: "server misbehaving", Name: "sink.invalid"}), "could not be resolved"},
		"deadline":    {context.DeadlineExceeded, "no answer came in time"},
		"cancelled":   {&url.Error{Op: "Get", URL: "http://x/?token=secret", Err: context.Canceled}, "cancelled"},
		"authority":   {x509.UnknownAuthorityError{}, "the certificate of the server is signed by an authority that is not trusted"},
		"expired":     {x509.CertificateInvalidError{Reason: x509.Expired}, "expired"},
		"alert":       {&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, "the server refused the TLS connection: bad certificate"},
		"no TLS":      {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "does not speak TLS"},
		"no HTTP":     {errors.New(`net/http: HTTP/1.x transport connection broken: malformed HTTP response "SSH-2.0"`), "the answer is not valid HTTP"},
		"goaway":      {errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR"), "closed the connection"},
		"stream":      {errors.New("stream error: stream ID 3; INTERNAL_ERROR; received from peer"), "broke off the request (HTTP/2 INTERNAL_ERROR)"},
		"another":     {dial(errors.New("10.0.0.1 is not public")), "10.0.0.1 is not public"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := peer.Cause(c.err)
			if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("%q, want %q", got, c.want)
			}
			for _, word := range []string{"net/http", "http2:", "dial tcp", "x509", "secret", "EOF", "malformed"} {
				if strings.Contains(got, word) {
					t.Errorf("%q has the words of a library", got)
				}
			}
		})
	}
}

func TestRedacted(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://u:p@h:1/a%2Fb?x=secret#y": "https://h:1/a%2Fb",
		"http://h":                         "http://h",
		"http://u:p%zz@h/":                 "an address that is not valid",
	} {
		if got := peer.Redacted(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", " \n": "", "a\n\n b ": "a b", "äöü": "äöü", "abcdef": "abcd...", "a\x00\xff": "a??"} {
		if got := peer.OneLine(text, 4); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
