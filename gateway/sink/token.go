package sink

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/streamgate/streamgate/gateway/foreign"
)

// tokenError says why a secret cannot be read, so that nothing was sent.
type tokenError struct{ err error }

// Error implements error.
func (e *tokenError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *tokenError) Unwrap() error { return e.err }

var (
	errNoToken  = errors.New("it does not hold a token")
	errNoHeader = errors.New("it holds characters that a header cannot have")
)

// authorize adds the bearer token, and the headers whose values are in files. Without them nothing is sent: a sink that
// wants them would refuse the event for good, and a secret that is just being replaced comes back.
func (s *httpSink) authorize(r *http.Request) error {
	if s.tokenFile != "" {
		token, err := readSecret(s.tokenFile, "sink.tokenFile")
		if err != nil {
			return err
		}
		if strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return &tokenError{fmt.Errorf("read %s (sink.tokenFile): %w", s.tokenFile, errNoToken)}
		}
		r.Header["Authorization"] = []string{"Bearer " + token}
	}
	for i := range s.headerFiles {
		h := &s.headerFiles[i]
		value, err := readSecret(h.ValueFile, "sink.headers.valueFile")
		if err != nil {
			return err
		}
		if !validHeaderValue(value) {
			return &tokenError{fmt.Errorf("read %s (sink.headers.valueFile): %w", h.ValueFile, errNoHeader)}
		}
		r.Header.Set(h.Name, value)
	}
	return nil
}

// readSecret reads a file that one of the sink's keys names.
func readSecret(name, key string) (string, error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return "", &tokenError{fmt.Errorf("read the secret (%s): %w", key, err)}
	}
	defer func() { _ = f.Close() }() // it was only read
	secret, err := foreign.ReadSecret(f)
	if err != nil {
		return "", &tokenError{fmt.Errorf("read the secret in %s (%s): %w", name, key, err)}
	}
	return secret, nil
}
