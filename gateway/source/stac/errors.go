package stac

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// statusError is an answer that is not a page of items.
type statusError struct {
	code       int
	text       string        // beginning of what the server said
	retryAfter time.Duration // what it asked for
}

func (e *statusError) Error() string {
	if e.code == http.StatusOK {
		return "the server answered 200 with something else than JSON of the right form: " + e.text
	}
	return fmt.Sprintf("the server answered %d: %s", e.code, e.text)
}

// errTooLarge is what reading an answer above the cap ends with.
var errTooLarge = errors.New("the answer is too large")

// temporary reports whether the same request may succeed later.
func temporary(err error) bool {
	status, ok := errors.AsType[*statusError](err)
	return ok && status.temporary() || !ok && !errors.Is(err, errTooLarge)
}

// tooMuch reports whether a smaller page may succeed.
func tooMuch(err error) bool {
	if status, ok := errors.AsType[*statusError](err); ok {
		return status.tooMuch()
	}
	network, ok := errors.AsType[net.Error](err)
	return errors.Is(err, errTooLarge) || ok && network.Timeout()
}

// Earth Search throttles with a 403 of this text.
func (e *statusError) temporary() bool {
	switch e.code {
	case http.StatusOK, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusForbidden:
		return strings.Contains(strings.ReplaceAll(e.text, " ", ""), `"message":"Forbidden"`)
	}
	return false
}

// Servers behind AWS Lambda answer 502 above 6 MB.
func (e *statusError) tooMuch() bool {
	switch e.code {
	case http.StatusRequestEntityTooLarge, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func answer(response *http.Response) *statusError {
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorText)) // what came before an error will do
	e := &statusError{code: response.StatusCode, text: strings.ToValidUTF8(string(text), "?")}
	header := response.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		e.retryAfter = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		e.retryAfter = time.Until(at)
	}
	e.retryAfter = min(max(e.retryAfter, 0), maxRetryAfter)
	if location, err := response.Location(); err == nil {
		e.text = "it redirects to " + location.Scheme + "://" + location.Host + location.Path
	}
	return e
}

// redact takes out of what a server has said what it was told in confidence: some repeat the request in their errors.
func (c *client) redact(e *statusError) *statusError {
	secrets := []string{c.tokens.current, c.tokens.config.Token}
	for _, values := range c.header {
		secrets = append(secrets, values...)
	}
	for _, values := range c.base.Query() {
		secrets = append(secrets, values...)
	}
	for _, secret := range secrets {
		if len(secret) >= minSecret {
			e.text = strings.ReplaceAll(e.text, secret, "***")
			// It may be cut off at the end of what was kept.
			for n := len(secret) - 1; n >= minSecret; n-- {
				if strings.HasSuffix(e.text, secret[:n]) {
					e.text = strings.TrimSuffix(e.text, secret[:n]) + "***"
					break
				}
			}
		}
	}
	return e
}
