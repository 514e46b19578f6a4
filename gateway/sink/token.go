package sink

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// tokenError says why there is no token, so that nothing was sent.
type tokenError struct{ err error }

// Error implements error.
func (e *tokenError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *tokenError) Unwrap() error { return e.err }

// maxTokenBytes bounds a bearer token.
const maxTokenBytes = 64 << 10

// authorize adds the bearer token. Without one nothing is sent: a sink that wants it would refuse the event for good, and a
// token that is just being replaced comes back.
func (s *httpSink) authorize(r *http.Request) error {
	if s.tokenFile == "" {
		return nil
	}
	f, err := os.Open(filepath.Clean(s.tokenFile))
	if err != nil {
		return &tokenError{fmt.Errorf("read the token (sink.tokenFile): %w", err)}
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxTokenBytes))
	if err != nil {
		return &tokenError{fmt.Errorf("read the token (sink.tokenFile): %w", err)}
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return &tokenError{fmt.Errorf("the file %s (sink.tokenFile) does not hold a token", s.tokenFile)}
	}
	r.Header["Authorization"] = []string{"Bearer " + token}
	return nil
}
