package guard

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

func TestAddressGuard(t *testing.T) {
	t.Parallel()
	strict, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	some, err := New([]string{"localhost", "10.1.0.0/16", "192.168.7.9", "*.svc.cluster.local", "sinks.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for host, c := range map[string]struct{ strict, some bool }{
		"example.com": {true, true}, "93.184.215.14": {true, true}, "2606:2800:21f:cb07:6820:80da:af6b:8b2c": {true, true},
		"127.0.0.1": {false, true}, "127.9.9.9": {false, true}, "::1": {false, true}, "localhost": {false, true}, "LOCALHOST.": {false, true},
		"10.1.2.3": {false, true}, "10.2.2.3": {false, false}, "192.168.7.9": {false, true}, "192.168.7.8": {false, false},
		"169.254.169.254": {false, false}, "100.64.0.1": {false, false}, "0.0.0.0": {false, false}, "255.255.255.255": {false, false},
		"224.0.0.1": {false, false}, "fe80::1": {false, false}, "fd00::1": {false, false}, "::": {false, false}, "::ffff:127.0.0.1": {false, true},
		"::ffff:10.2.0.1": {false, false}, "64:ff9b::a9fe:a9fe": {false, false}, "2002:7f00:1::": {false, false}, "198.18.0.1": {false, false},
	} {
		if ok := strict.CheckHost(host) == nil; ok != c.strict {
			t.Errorf("%s, nothing allowed: %v", host, ok)
		}
		if ok := some.CheckHost(host) == nil; ok != c.some {
			t.Errorf("%s, some allowed: %v", host, ok)
		}
	}
	for _, wrong := range []string{"", "http://a", "a b", "[", "10.0.0.0/33"} {
		if _, err := New([]string{wrong}); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

// TestGuardLooksWhereANameLeads: it is the address of the connection that counts.
func TestGuardLooksWhereANameLeads(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		allowed []string
		host    string
		ok      bool
	}{
		{nil, "localhost", false}, {nil, "127.0.0.1", false}, {[]string{"local*"}, "localhost", true}, {[]string{"127.0.0.0/8", "::1"}, "localhost", true},
	} {
		g, err := New(c.allowed)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		conn, err := g.DialContext(&net.Dialer{})(ctx, "tcp", net.JoinHostPort(c.host, port))
		cancel()
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "admin.allowSinks") {
			t.Errorf("%v, %s: %v", c.allowed, c.host, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}
