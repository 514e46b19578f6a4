package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/streamgate/streamgate/gateway/setting"
)

// AuthConfig says how requests to the host of url authenticate: with a bearer token, from one of its keys. Secrets are best
// taken from the environment (${NAME}) or from files.
type AuthConfig struct {
	// Token is a bearer token.
	Token string `mapstructure:"token"`
	// TokenFile is a file with a bearer token. It is read again when the server answers 401, and every minute: its owner may
	// replace it.
	TokenFile string `mapstructure:"tokenFile"`
	// OAuth2 fetches tokens with the client's own credentials (RFC 6749 section 4.4).
	OAuth2 *OAuth2Config `mapstructure:"oauth2"`
}

// OAuth2Config is a client of an authorization server.
type OAuth2Config struct {
	// TokenURL is the token endpoint; https, unless it is on this machine.
	TokenURL string `mapstructure:"tokenUrl"`
	// ClientID and ClientSecret, or ClientSecretFile, are sent as HTTP Basic.
	ClientID         string `mapstructure:"clientId"`
	ClientSecret     string `mapstructure:"clientSecret"`
	ClientSecretFile string `mapstructure:"clientSecretFile"`
	// Scopes and Audience are asked for, if there are any.
	Scopes   []string `mapstructure:"scopes"`
	Audience string   `mapstructure:"audience"`
}

const (
	maxTokenBytes = 64 << 10
	tokenMargin   = 30 * time.Second // before its end a token is renewed
	tokenFileAge  = time.Minute
	tokenDefault  = 5 * time.Minute // of a server that does not say how long a token lasts
)

func (c *AuthConfig) validate() setting.Problems {
	var p setting.Problems
	given := 0
	for _, is := range []bool{c.Token != "", c.TokenFile != "", c.OAuth2 != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		p.Add("", "there is more than one way to authenticate", "keep one of token, tokenFile and oauth2")
	}
	if !httpguts.ValidHeaderFieldValue(c.Token) {
		p.Add("token", "it holds characters that no header may have", "write the token alone, without line breaks")
	}
	if c.OAuth2 != nil {
		p.AddAll("oauth2", c.OAuth2.validate())
	}
	return p
}

func (c *OAuth2Config) validate() setting.Problems {
	var p setting.Problems
	u, err := url.Parse(c.TokenURL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		p.Add("tokenUrl", "there is no https address of a token endpoint", "write one like https://auth.example.com/oauth2/token")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		p.Add("tokenUrl", "the client's secret would go over the wire unencrypted", "use https")
	}
	if c.ClientID == "" || (c.ClientSecret == "") == (c.ClientSecretFile == "") {
		p.Add("clientId", "there is not exactly one id and one secret", "set clientId, and clientSecret or clientSecretFile")
	}
	return p
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tokens hands out the bearer token. It is for one goroutine.
type tokens struct {
	config  AuthConfig
	http    *http.Client
	current string
	until   time.Time
}

// bearer returns the token, or "" where there is none to send. Errors do not hold secrets.
func (t *tokens) bearer(ctx context.Context) (string, error) {
	switch {
	case t.config.Token != "":
		return t.config.Token, nil
	case t.current != "" && time.Now().Before(t.until):
		return t.current, nil
	case t.config.TokenFile != "":
		token, err := readSecret(t.config.TokenFile)
		if err != nil {
			return "", fmt.Errorf("read auth.tokenFile: %w", err)
		}
		t.current, t.until = token, time.Now().Add(tokenFileAge)
		return token, nil
	case t.config.OAuth2 != nil:
		if err := t.fetch(ctx, t.config.OAuth2); err != nil {
			return "", fmt.Errorf("fetch a token from auth.oauth2.tokenUrl: %w", err)
		}
	}
	return t.current, nil
}

// forget drops a token that the server did not take, and reports whether there may be a better one.
func (t *tokens) forget() bool {
	t.current = ""
	return t.config.TokenFile != "" || t.config.OAuth2 != nil
}

func readSecret(file string) (string, error) {
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxTokenBytes))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || !httpguts.ValidHeaderFieldValue(secret) {
		return "", errors.New("it is empty, or holds more than one line")
	}
	return secret, nil
}

// fetch gets a token with the client's credentials.
func (t *tokens) fetch(ctx context.Context, c *OAuth2Config) error {
	secret := c.ClientSecret
	if c.ClientSecretFile != "" {
		var err error
		if secret, err = readSecret(c.ClientSecretFile); err != nil {
			return fmt.Errorf("read clientSecretFile: %w", err)
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
		return fmt.Errorf("build the request: %w", err)
	}
	r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(secret))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	asked := time.Now()
	response, err := t.http.Do(r)
	if err != nil {
		return withoutAddress(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxTokenBytes))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var answer struct {
		Token   string  `json:"access_token"`
		Type    string  `json:"token_type"`
		Expires float64 `json:"expires_in"`
		Error   string  `json:"error"`
	}
	err = json.Unmarshal(body, &answer)
	switch {
	case response.StatusCode != http.StatusOK: // what it says may hold what was sent, but for the code of RFC 6749 section 5.2
		return fmt.Errorf("the server answered %d %.40q", response.StatusCode, answer.Error)
	case err != nil || answer.Token == "" || !httpguts.ValidHeaderFieldValue(answer.Token):
		return errors.New("the answer holds no access_token")
	case !strings.EqualFold(answer.Type, "bearer"):
		return fmt.Errorf("the token is of type %.40q, not bearer", answer.Type)
	}
	t.current, t.until = answer.Token, asked.Add(lifetime(answer.Expires))
	return nil
}

func lifetime(seconds float64) time.Duration {
	if seconds <= 0 || seconds > 1e9 {
		return tokenDefault
	}
	all := time.Duration(seconds * float64(time.Second))
	return max(all-tokenMargin, all/2)
}

// withoutAddress is the error without the address, which may hold a key.
func withoutAddress(err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		return inner.Err
	}
	return err
}
