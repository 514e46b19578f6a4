package stacapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/streamgate/streamgate/gateway/foreign"
)

// Auth says where the bearer token of requests comes from: from the first of its fields that is set. The zero value
// sends none.
type Auth struct {
	// Token is a bearer token.
	Token string
	// TokenFile is a file with a bearer token, which its owner may replace: it is read again every minute, and when the
	// server answers 401.
	TokenFile string
	// OAuth2 fetches tokens with client credentials (RFC 6749 section 4.4), and renews them before they expire.
	OAuth2 *OAuth2
}

// OAuth2 is a client of an authorization server.
type OAuth2 struct {
	// TokenURL is the token endpoint.
	TokenURL string
	// ClientID and ClientSecret, or the content of ClientSecretFile, are sent as HTTP Basic.
	ClientID, ClientSecret, ClientSecretFile string
	// Scopes and Audience are asked for if they are set.
	Scopes   []string
	Audience string
}

const (
	maxTokenBytes = 64 << 10
	tokenMargin   = 30 * time.Second // how long before its end a token is renewed
	tokenFileAge  = time.Minute
	tokenDefault  = 5 * time.Minute // of a server that does not say how long a token is valid
)

// tokens hands out the bearer token. It is safe for concurrent use; a token is fetched by one caller while the others
// wait.
type tokens struct {
	auth Auth
	http *http.Client

	mu      sync.Mutex
	current string
	until   time.Time
}

// bearer returns the token, or "" if there is none to send. Its errors hold no secrets.
func (t *tokens) bearer(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.auth.Token != "":
		return t.auth.Token, nil
	case t.current != "" && time.Now().Before(t.until):
		return t.current, nil
	case t.auth.TokenFile != "":
		token, err := readSecret(t.auth.TokenFile)
		if err != nil {
			return "", fmt.Errorf("read the token file: %w", err)
		}
		t.current, t.until = token, time.Now().Add(tokenFileAge)
	case t.auth.OAuth2 != nil:
		if err := t.fetch(ctx, t.auth.OAuth2); err != nil {
			return "", fmt.Errorf("fetch an OAuth 2.0 token: %w", err)
		}
	}
	return t.current, nil
}

// drop drops a token that the server has refused, and reports whether another one can be had.
func (t *tokens) drop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = ""
	return t.auth.TokenFile != "" || t.auth.OAuth2 != nil
}

// secrets returns what must not be shown.
func (t *tokens) secrets() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return []string{t.current, t.auth.Token}
}

func readSecret(file string) (string, error) {
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	secret, err := foreign.ReadSecret(f)
	if err == nil && !httpguts.ValidHeaderFieldValue(secret) {
		err = errors.New("the secret has a character that HTTP does not allow in a header")
	}
	return secret, err
}

// fetch gets a token with the client's credentials. The caller holds the lock.
func (t *tokens) fetch(ctx context.Context, c *OAuth2) error {
	r, err := c.request(ctx)
	if err != nil {
		return err
	}
	asked := time.Now()
	response, err := t.http.Do(r)
	if err != nil {
		return withoutAddress(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer Members
	text, err := foreign.Read(response.Body, foreign.ForResponse(response.Header, maxTokenBytes))
	if err == nil {
		err = decodeJSON(text.Bytes, &answer)
	}
	if response.StatusCode != http.StatusOK { // only the code of RFC 6749 section 5.2 cannot repeat the secret
		return fmt.Errorf("the authorization server answered %d %.40q", response.StatusCode, answer.Text("error"))
	}
	token := answer.Text("access_token")
	switch kind := answer.Text("token_type"); {
	case err != nil:
		return fmt.Errorf("the authorization server answered 200 (%s), but not with a JSON object%s",
			mediaTypeOf(response), kindOfPage(text))
	case token == "" || !httpguts.ValidHeaderFieldValue(token):
		return fmt.Errorf("the answer of the authorization server has no valid access_token: it is %s",
			kindOf(answer["access_token"]))
	case !strings.EqualFold(kind, "bearer"):
		return fmt.Errorf("the token is of type %.40q, not bearer", kind)
	}
	expires, _ := textOf(answer["expires_in"])
	seconds, _ := strconv.ParseFloat(strings.TrimSpace(expires), 64) // 0 if it says nothing that can be read
	t.current, t.until = token, asked.Add(lifetime(seconds))
	return nil
}

func mediaTypeOf(response *http.Response) string {
	return cmp.Or(response.Header.Get("Content-Type"), "without a media type")
}

// kindOfPage says what kind of page an answer is. Other text is not described: it may repeat the secret.
func kindOfPage(text *foreign.Text) string {
	if text == nil {
		return ""
	}
	if kind := foreign.Describe(text.Bytes); kind == "empty" || strings.HasPrefix(kind, "an ") {
		return ", but " + kind
	}
	return ""
}

func (c *OAuth2) request(ctx context.Context) (*http.Request, error) {
	secret := c.ClientSecret
	if c.ClientSecretFile != "" {
		var err error
		if secret, err = readSecret(c.ClientSecretFile); err != nil {
			return nil, fmt.Errorf("read the file of the client secret: %w", err)
		}
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, " "))
	}
	if c.Audience != "" {
		form.Set("audience", c.Audience)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(secret))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	return r, nil
}

func lifetime(seconds float64) time.Duration {
	if seconds <= 0 || seconds > 1e9 {
		return tokenDefault
	}
	all := time.Duration(seconds * float64(time.Second))
	return max(all-tokenMargin, all/2)
}
