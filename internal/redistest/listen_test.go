package redistest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestWithTLS(t *testing.T) {
	t.Parallel()
	EachFlavor(t, func(t *testing.T, flavor Flavor) {
		s := Start(t, WithTLS(), WithBinary(flavor.Binary))
		addr := s.TLSAddr()
		for range 2 { // again after a restart
			if err := pingWith(t, &redis.Options{Addr: s.TLSAddr(), TLSConfig: s.TLSConfig()}); err != nil {
				t.Errorf("PING over TLS: %v", err)
			}
			s.Restart()
		}
		if s.TLSAddr() != addr || addr == s.Addr() {
			t.Errorf("TLS at %s, then at %s; plain at %s", addr, s.TLSAddr(), s.Addr())
		}
		stranger := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		var unknown x509.UnknownAuthorityError
		if err := pingWith(t, &redis.Options{Addr: s.TLSAddr(), TLSConfig: stranger}); !errors.As(err, &unknown) {
			t.Errorf("PING without the authority: %v, want an unknown authority", err)
		}
	})
}

func TestWithTLSForClientsWithCertificate(t *testing.T) {
	t.Parallel()
	s := Start(t, WithTLS(), WithArgs("--tls-auth-clients", "yes"))
	files := s.TLSFiles()
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(authority)
	if err := pingWith(t, &redis.Options{Addr: s.TLSAddr(), TLSConfig: config}); err == nil {
		t.Error("PING without a certificate was answered")
	}
	config = config.Clone()
	config.Certificates = []tls.Certificate{pair}
	if err := pingWith(t, &redis.Options{Addr: s.TLSAddr(), TLSConfig: config}); err != nil {
		t.Errorf("PING with a certificate: %v", err)
	}
}

func TestWithUnixSocket(t *testing.T) {
	t.Parallel()
	var dir string
	t.Run("listens", func(t *testing.T) {
		s := Start(t, WithUnixSocket())
		dir = filepath.Dir(s.Socket())
		if len(s.Socket()) > longestSocket {
			t.Errorf("path of %d bytes", len(s.Socket()))
		}
		if err := pingWith(t, &redis.Options{Network: "unix", Addr: s.Socket()}); err != nil {
			t.Errorf("PING over the socket: %v", err)
		}
	})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of the socket after the test: %v, want none", err)
	}
}

func TestUserOfACL(t *testing.T) {
	t.Parallel()
	EachFlavor(t, func(t *testing.T, flavor Flavor) {
		s := Start(t, WithBinary(flavor.Binary),
			WithArgs("--user", "reader", "on", ">secret", "~*", "-@all", "+get", "+ping", "+hello", "+client"))
		set(t, s, "k", "v") // as the default user, which still exists
		client := redis.NewClient(&redis.Options{Addr: s.Addr(), Username: "reader", Password: "secret",
			MaxRetries: -1})
		defer func() { _ = client.Close() }()
		if got, err := client.Get(t.Context(), "k").Result(); err != nil || got != "v" {
			t.Errorf("GET = %q, %v", got, err)
		}
		if err := client.Set(t.Context(), "k", "w", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("SET: %v, want NOPERM", err)
		}
		wrong := &redis.Options{Addr: s.Addr(), Username: "reader", Password: "wrong"}
		if err := pingWith(t, wrong); err == nil || !strings.HasPrefix(err.Error(), "WRONGPASS") {
			t.Errorf("PING with a wrong password: %v, want WRONGPASS", err)
		}
	})
}

func pingWith(t *testing.T, o *redis.Options) error {
	t.Helper()
	o.MaxRetries = -1
	client := redis.NewClient(o)
	defer func() { _ = client.Close() }()
	return client.Ping(t.Context()).Err()
}
