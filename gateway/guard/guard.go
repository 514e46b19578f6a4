package guard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Guard keeps requests whose address a stranger has chosen away from what is not public: this machine, the private
// network, the metadata service of a cloud. It looks at the address that a name has led to, in the moment of the
// connection, so that a name which leads elsewhere later does not get around it.
type Guard struct {
	// Key is the key of the configuration that allows more, for messages; default admin.allowSinks.
	Key string

	hosts    []string // names or patterns, in lower case
	prefixes []netip.Prefix
}

// New returns a guard that lets through, beside what is public, what is allowed: host names, patterns like
// *.svc.cluster.local, addresses, and networks like 10.0.0.0/8. Localhost stands for the addresses of this machine, too.
func New(allowed []string) (*Guard, error) {
	g := &Guard{Key: "admin.allowSinks"}
	for _, one := range allowed {
		one = strings.ToLower(strings.TrimSuffix(one, "."))
		if prefix, err := netip.ParsePrefix(one); err == nil {
			g.prefixes = append(g.prefixes, prefix.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(one); err == nil {
			g.prefixes = append(g.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		if _, err := path.Match(one, ""); err != nil || one == "" || strings.ContainsAny(one, "/: ") {
			return nil, fmt.Errorf("%q is not a host name, a pattern, an address or a network", one)
		}
		if one == "localhost" {
			g.prefixes = append(g.prefixes, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
		}
		g.hosts = append(g.hosts, one)
	}
	return g, nil
}

// CheckHost returns what speaks against a host as far as it can be seen without asking a name server.
func (g *Guard) CheckHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil && !g.allowsHost(host) {
		return g.check(addr)
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") && !g.allowsHost(host) {
		return g.errNotPublic(host)
	}
	return nil
}

func (g *Guard) errNotPublic(address string) error {
	return fmt.Errorf("%s is not public; allow it with %s", address, g.Key)
}

func (g *Guard) allowsHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(g.hosts, func(pattern string) bool {
		ok, _ := path.Match(pattern, host) // NewAddressGuard has checked the pattern
		return ok
	})
}

func (g *Guard) check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap()
	if slices.ContainsFunc(g.prefixes, func(p netip.Prefix) bool { return p.Contains(addr) }) || isPublic(addr) {
		return nil
	}
	return g.errNotPublic(addr.String())
}

// isPublic is false for every range that is reserved for something (RFC 6890 and its successors), also where an IPv6
// address holds an IPv4 one that a gateway would reach.
func isPublic(addr netip.Addr) bool {
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(reservedNetworks(), func(p netip.Prefix) bool { return p.Contains(addr) })
}

func reservedNetworks() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// DialContext returns a function for a transport that connects as dialer does, where the guard lets it. The transport
// must have no proxy, which would be asked for what the guard cannot see.
func (g *Guard) DialContext(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	guarded := *dialer
	guarded.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", address, err)
		}
		return g.check(target.Addr())
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(address); err == nil && g.allowsHost(host) {
			return dialer.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	}
}
