package stacapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const secret = "s3cr3t-of-the-client"

// authority is an authorization server whose tokens are numbered, and an API that takes the newest only.
type authority struct {
	*httptest.Server
	mu      sync.Mutex
	issued  int
	expires float64
	forms   []string
	refuse  bool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{expires: 3600}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path == "/api" {
		if r.Header.Get("Authorization") != fmt.Sprint("Bearer token-", a.issued) {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return
	}
	id, password, _ := r.BasicAuth()
	_ = r.ParseForm()
	a.forms = append(a.forms, r.PostForm.Encode())
	if a.refuse || id != "client" || password != secret {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":"wrong secret %s"}`, password)
		return
	}
	a.issued++
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprint("token-", a.issued), "token_type": "Bearer", "expires_in": a.expires})
}

func (a *authority) config() Auth {
	return Auth{OAuth2: &OAuth2{TokenURL: a.URL + "/token", ClientID: "client", ClientSecret: secret, Scopes: []string{"a", "b"}, Audience: "api"}}
}

// TestClientCredentials: a token is fetched once, and anew when it ends or the server does not take it any more.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	client := testClient(t, a.URL, func(c *Config) { c.Auth = a.config() })
	get := func(want int) {
		t.Helper()
		if err := client.get(t.Context(), getFrom(a.URL+"/api"), false, readAll); err != nil || a.issued != want {
			t.Errorf("%d tokens, want %d, %v", a.issued, want, err)
		}
	}
	get(1)
	get(1)
	a.mu.Lock()
	a.issued++ // the token is not good any more
	a.mu.Unlock()
	get(3)
	client.tokens.until = time.Now().Add(-time.Second)
	get(4)
	if want := "audience=api&grant_type=client_credentials&scope=a+b"; !slices.Equal(a.forms, []string{want, want, want}) {
		t.Errorf("%q", a.forms)
	}
}

// TestTokenFile is read again when it is replaced.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	file := filepath.Join(t.TempDir(), "token")
	write := func(n int) {
		a.issued = n
		if err := os.WriteFile(file, fmt.Appendf(nil, "token-%d\n", n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	client := testClient(t, a.URL, func(c *Config) { c.Auth.TokenFile = file })
	for n := range 3 {
		write(n + 1)
		if err := client.get(t.Context(), getFrom(a.URL+"/api"), false, readAll); err != nil {
			t.Error(err)
		}
	}
}

// TestSecretsStaySecret: they are in no error and no line of a log, and go to no other host.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.refuse = true
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("another host gets the token")
		}
	}))
	t.Cleanup(other.Close)
	client := testClient(t, a.URL, func(c *Config) { c.Auth = a.config() })
	err := client.once(t.Context(), getFrom(a.URL+"/api"), readAll)
	if err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	slog.New(slog.NewTextHandler(&logs, nil)).Warn("failed", "err", err, "config", fmt.Sprintf("%v", err))
	if strings.Contains(logs.String(), secret) {
		t.Errorf("the secret is in the log: %s", logs.String())
	}
	if err := client.once(t.Context(), getFrom(other.URL), readAll); err != nil {
		t.Error(err)
	}
	for name, answer := range map[string]string{
		"no token": `{"token_type":"bearer"}`, "no JSON": `<html>`, "other type": `{"access_token":"x","token_type":"mac"}`,
		"line breaks": `{"access_token":"a\r\nb","token_type":"bearer"}`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		t.Cleanup(server.Close)
		broken := tokens{auth: a.config(), http: server.Client()}
		broken.auth.OAuth2.TokenURL = server.URL
		if token, err := broken.bearer(t.Context()); err == nil {
			t.Errorf("%s: %q", name, token)
		}
	}
}

// TestServerThatRepeatsTheRequest in its errors: what it was told in confidence is taken out.
func TestServerThatRepeatsTheRequest(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, "you sent %s and %s to %s %s%s", r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.URL, strings.Repeat(".", 62), r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	client := testClient(t, server.URL+"/?key=secret-of-the-query", func(c *Config) {
		c.Auth.Token = "secret-token"
		c.Header = http.Header{"X-Api-Key": {"secret-key"}}
	})
	err := client.get(t.Context(), getFrom(server.URL+"/?key=secret-of-the-query"), false, readAll)
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "you sent Bearer *** and *** to") {
		t.Error(err)
	}
}
