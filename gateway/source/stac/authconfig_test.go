package stac

import (
	"strings"
	"testing"
)

func TestAuthRefuses(t *testing.T) {
	t.Parallel()
	good := OAuth2Config{TokenURL: "https://auth.example.com/token", ClientID: "a", ClientSecret: "b"}
	with := func(change func(*OAuth2Config)) AuthConfig {
		c := good
		change(&c)
		return AuthConfig{OAuth2: &c}
	}
	for want, c := range map[string]AuthConfig{
		"": {OAuth2: &good}, ":more": {Token: "a", TokenFile: "b"}, "token": {Token: "a\nb"},
		"oauth2.tokenUrl":  with(func(c *OAuth2Config) { c.TokenURL = "http://auth.example.com/token" }),
		"oauth2.tokenUrl ": with(func(c *OAuth2Config) { c.TokenURL = "" }),
		"oauth2.clientId":  with(func(c *OAuth2Config) { c.ClientSecret = "" }),
		"oauth2.clientId ": with(func(c *OAuth2Config) { c.ClientSecretFile = "x" }),
	} {
		problems := c.validate()
		if (len(problems) > 0) != (want != "") {
			t.Errorf("%q: %v", want, problems)
		}
		if path := strings.TrimSpace(want); path != "" && path != ":more" && problems[0].Path != path {
			t.Errorf("%q: %v", want, problems)
		}
	}
}
