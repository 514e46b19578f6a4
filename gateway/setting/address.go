package setting

import (
	"fmt"
	"net"
	"strconv"
)

// CheckAddress returns what is wrong with the address of a listener, or nil: it is host:port, and a loopback address
// unless anonymous access is allowed. could says what a stranger could do who reaches it.
func CheckAddress(address string, anonymousAllowed bool, could string) *Problem {
	host, port, err := net.SplitHostPort(address)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		return &Problem{"address", fmt.Sprintf("%q is not host:port", address), "write an address like 127.0.0.1:8080"}
	}
	ip := net.ParseIP(host)
	if host != "localhost" && (ip == nil || !ip.IsLoopback()) && !anonymousAllowed {
		return &Problem{
			"address",
			fmt.Sprintf("%q is not a loopback address, and without authentication anyone who can reach it could %s", address, could),
			"listen on 127.0.0.1 behind a proxy that authenticates, or set allowAnonymous: true",
		}
	}
	return nil
}

// ValidPort reports whether a port is one that a client can connect to. "" stands for the default of a scheme.
func ValidPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}
