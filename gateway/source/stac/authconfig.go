package stac

import (
	"net"
	"net/url"

	"golang.org/x/net/http/httpguts"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// AuthConfig says how requests to the host of url authenticate: with a bearer token from one of its keys. Secrets are
// best taken from the environment (${NAME}) or from files.
type AuthConfig struct {
	// Token is a bearer token.
	Token string `mapstructure:"token"`
	// TokenFile is a file with a bearer token, which its owner may replace: it is read again every minute, and when the
	// server answers 401.
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

func (c *AuthConfig) validate() setting.Problems {
	var p setting.Problems
	given := 0
	for _, is := range []bool{c.Token != "", c.TokenFile != "", c.OAuth2 != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		p.Add("", "more than one way to authenticate is configured", "keep one of token, tokenFile and oauth2")
	}
	if !httpguts.ValidHeaderFieldValue(c.Token) {
		p.Add("token", "the token has characters that are not allowed in a header",
			"write the token alone, without line breaks")
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
		p.Add("tokenUrl", "not a valid https URL of a token endpoint", "write one like https://auth.example.com/oauth2/token")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		p.Add("tokenUrl", "the client secret would be sent unencrypted", "use https")
	}
	if c.ClientID == "" || (c.ClientSecret == "") == (c.ClientSecretFile == "") {
		p.Add("clientId", "a client needs exactly one id and one secret",
			"set clientId, and clientSecret or clientSecretFile")
	}
	return p
}

// client returns what the client of the API takes.
func (c *AuthConfig) client() stacapi.Auth {
	auth := stacapi.Auth{Token: c.Token, TokenFile: c.TokenFile}
	if o := c.OAuth2; o != nil {
		auth.OAuth2 = &stacapi.OAuth2{
			TokenURL: o.TokenURL, ClientID: o.ClientID, ClientSecret: o.ClientSecret, ClientSecretFile: o.ClientSecretFile,
			Scopes: o.Scopes, Audience: o.Audience,
		}
	}
	return auth
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
