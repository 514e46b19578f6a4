package stacapi

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/foreign"
)

// This file describes what an HTTP peer did: what its answer says beside the body, and what kind of failure a failure
// is.

const (
	maxErrorText = 200     // of what a server says about a failure
	maxErrorRead = 4 << 10 // of such an answer
	maxMediaType = 100
	minSecret    = 4 // a shorter value is not treated as a secret
)

// answer is what a response says beside its body.
type answer struct {
	method     string
	from       *url.URL // where the body came from, after redirects
	validator  Validator
	serverTime time.Time // by the server's clock; zero if it did not say
}

func newAnswer(response *http.Response) *answer {
	serverTime, _ := http.ParseTime(response.Header.Get("Date")) // zero if there is none
	return &answer{
		method: response.Request.Method, from: response.Request.URL, serverTime: serverTime,
		validator: Validator{ETag: response.Header.Get("ETag"), LastModified: response.Header.Get("Last-Modified")},
	}
}

// readText reads the body of an answer as text in UTF-8. Text that is not valid UTF-8 although it should be is returned
// as it is: it may be one item that is not, which is for the decoder to find.
func readText(response *http.Response, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", response.Request.URL.Host, err)
	}
	if int64(len(raw)) > limit {
		return nil, errTooLarge
	}
	o := foreign.ForResponse(response.Header, limit)
	o.JSON = true
	text, err := foreign.Read(bytes.NewReader(raw), o)
	if err == nil {
		return text.Bytes, nil
	}
	refused, isRefused := errors.AsType[*foreign.Error](err)
	switch {
	case isRefused && refused.Reason == foreign.TooLarge:
		return nil, errTooLarge
	case isRefused && refused.Reason == foreign.Damaged && isPlain(response.Header, raw):
		return raw, nil
	}
	return nil, malformed(err)
}

// isPlain reports whether a body is neither compressed nor in a charset other than UTF-8, as far as it shows.
func isPlain(header http.Header, raw []byte) bool {
	charset := strings.ToLower(header.Get("Content-Type"))
	return header.Get("Content-Encoding") == "" && len(raw) > 0 && raw[0] == '{' && bytes.IndexByte(raw, 0) < 0 &&
		(!strings.Contains(charset, "charset") || strings.Contains(charset, "utf-8"))
}

// StatusError is an answer that is not what was asked for. Code is 200 for one that is not JSON of the expected form.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// Address is what was asked, without its query, and ContentType the media type of the answer; "" if unknown.
	Address, ContentType string
	// Text says what the server said: the beginning of its answer, at most 200 bytes, without credentials, or where it
	// redirects to, or what is wrong with an answer 200.
	Text string
	// RetryAfter is the pause that the server asked for, at most 15 minutes; 0 if it asked for none.
	RetryAfter time.Duration
}

// Error implements error.
func (e *StatusError) Error() string {
	var b strings.Builder
	b.WriteString(cmp.Or(e.Address, "the server"))
	fmt.Fprintf(&b, " answered %d", e.Code)
	if e.ContentType != "" {
		fmt.Fprintf(&b, " (%s)", e.ContentType)
	}
	if e.Code == http.StatusOK {
		b.WriteString(", but not with JSON of the expected form")
	}
	if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	if remedy := e.remedy(); remedy != "" {
		b.WriteString("; " + remedy)
	}
	return b.String()
}

// remedy says what an operator can do about the answer.
func (e *StatusError) remedy() string {
	switch {
	case e.Code == http.StatusOK && strings.Contains(e.Text, "HTML page"):
		return "check the address, and whether the server wants credentials"
	case e.Code == http.StatusUnauthorized || e.Code == http.StatusForbidden && !e.Temporary():
		return "check the credentials"
	case e.Code == http.StatusNotFound:
		return "check the address"
	case e.Code >= 300 && e.Code < 400:
		return "this redirect is not followed; use that address"
	}
	return ""
}

// Temporary reports whether the same request may succeed later.
func (e *StatusError) Temporary() bool {
	switch e.Code {
	case http.StatusOK, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusForbidden: // Earth Search throttles with a 403 of this text
		return strings.Contains(strings.ReplaceAll(e.Text, " ", ""), `"message":"Forbidden"`)
	}
	return false
}

// isTooMuch reports whether a smaller page may succeed. Servers behind AWS Lambda answer 502 above 6 MB.
func (e *StatusError) isTooMuch() bool {
	switch e.Code {
	case http.StatusRequestEntityTooLarge, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// isThrottling reports whether the answer is about the moment, and says nothing about the request.
func (e *StatusError) isThrottling() bool {
	return e.Code == http.StatusTooManyRequests || e.Code == http.StatusServiceUnavailable
}

// ErrNotModified is what [Client.ReadItems] returns if the document is still in the state that the caller knows.
var ErrNotModified = errors.New("the document has not changed")

// errTooLarge is the error of reading an answer that is larger than the client accepts.
var errTooLarge = errors.New("the answer is too large")

// isTemporary reports whether the same request may succeed later. Failures of the network may pass.
func isTemporary(err error) bool {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.Temporary()
	}
	return !errors.Is(err, errTooLarge)
}

// isTooMuch reports whether a smaller page may succeed.
func isTooMuch(err error) bool {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.isTooMuch()
	}
	network, ok := errors.AsType[net.Error](err)
	return errors.Is(err, errTooLarge) || ok && network.Timeout()
}

func newStatusError(response *http.Response) *StatusError {
	e := &StatusError{Code: response.StatusCode, RetryAfter: retryAfter(response.Header.Get("Retry-After"))}
	e.from(response)
	if location, err := response.Location(); err == nil {
		// Its query may be secret. There is nothing to say of the body.
		e.Text = "it redirects to " + location.Scheme + "://" + location.Host + location.Path
		e.ContentType = ""
		return e
	}
	raw, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorRead)) // what came before a read error is enough
	reader, err := foreign.NewReader(bytes.NewReader(raw), foreign.ForResponse(response.Header, maxErrorRead<<4))
	if err != nil {
		e.Text = err.Error()
		return e
	}
	text, _ := io.ReadAll(reader) // its end may be cut off
	if e.Text = strings.Join(strings.Fields(string(text)), " "); strings.HasPrefix(e.Text, "<") {
		e.Text = foreign.Describe(text)
	}
	e.Text = strings.ToValidUTF8(e.Text[:min(len(e.Text), maxErrorText)], "")
	return e
}

// from notes where the answer came from, without what may be secret.
func (e *StatusError) from(response *http.Response) {
	asked := response.Request.URL
	e.Address = asked.Scheme + "://" + asked.Host + asked.EscapedPath()
	e.ContentType, _, _ = strings.Cut(response.Header.Get("Content-Type"), ";")
	e.ContentType = strings.ToValidUTF8(e.ContentType[:min(len(e.ContentType), maxMediaType)], "?")
}

// describe adds to the error of an answer that could not be read where it came from.
func (c *Client) describe(err error, response *http.Response) error {
	if status, ok := errors.AsType[*StatusError](err); ok {
		status.from(response)
		return c.redact(status)
	}
	return err
}

// retryAfter reads the header: seconds or a date (RFC 9110 section 10.2.3).
func retryAfter(header string) (d time.Duration) {
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = time.Until(at)
	}
	return min(max(d, 0), maxRetryAfter)
}

// redact removes credentials from what a server said: some repeat the request in their errors.
func (c *Client) redact(e *StatusError) *StatusError {
	secrets := c.tokens.secrets()
	for _, values := range c.header {
		secrets = append(secrets, values...)
	}
	for _, values := range c.base.Query() {
		secrets = append(secrets, values...)
	}
	for _, secret := range secrets {
		e.Text = without(secret, e.Text)
	}
	return e
}

// without replaces a secret in a text, also one that the end of the text cuts off.
func without(secret, text string) string {
	if len(secret) < minSecret {
		return text
	}
	text = strings.ReplaceAll(text, secret, "***")
	for n := len(secret) - 1; n >= minSecret; n-- {
		if kept, found := strings.CutSuffix(text, secret[:n]); found {
			return kept + "***"
		}
	}
	return text
}

// withoutAddress returns the error without the address of the request, which may hold a key.
func withoutAddress(err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		return inner.Err
	}
	return err
}
