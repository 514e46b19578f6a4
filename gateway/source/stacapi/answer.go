package stacapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// This file describes what an HTTP peer did: what its answer says beside the body, and what kind of failure a failure
// is.

const (
	maxErrorText = 200 // of what a server says about a failure
	minSecret    = 4   // a shorter value is not treated as a secret
)

// answer is what a response says beside its body.
type answer struct {
	from       *url.URL // where the body came from, after redirects
	validator  Validator
	serverTime time.Time // by the server's clock; zero if it did not say
}

func newAnswer(response *http.Response) *answer {
	serverTime, _ := http.ParseTime(response.Header.Get("Date")) // zero if there is none
	return &answer{
		from: response.Request.URL, serverTime: serverTime,
		validator: Validator{ETag: response.Header.Get("ETag"), LastModified: response.Header.Get("Last-Modified")},
	}
}

// StatusError is an answer that is not what was asked for. Code is 200 for one that is not JSON of the expected form.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// Text is the beginning of what the server said, at most 200 bytes, without credentials.
	Text string
	// RetryAfter is the pause that the server asked for, at most 15 minutes; 0 if it asked for none.
	RetryAfter time.Duration
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.Code == http.StatusOK {
		return "the server answered 200, but not with JSON of the expected form: " + e.Text
	}
	return fmt.Sprintf("the server answered %d: %s", e.Code, e.Text)
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
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorText)) // what came before a read error is enough
	e := &StatusError{
		Code: response.StatusCode, Text: strings.ToValidUTF8(string(text), "?"),
		RetryAfter: retryAfter(response.Header.Get("Retry-After")),
	}
	if location, err := response.Location(); err == nil {
		e.Text = "it redirects to " + location.Scheme + "://" + location.Host + location.Path // its query may be secret
	}
	return e
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
