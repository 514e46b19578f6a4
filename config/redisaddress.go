package config

import (
	"crypto/tls"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Remedies for an address.
const (
	anyAddress = "write embedded, redis://HOST:PORT, rediss://, unix:///PATH, " +
		"redis+sentinel://HOST:PORT,.../MASTER or redis+cluster://HOST:PORT,..."
	encodePassword = "percent-encode special characters of the password (# is %23, / is %2F, ? is %3F, @ is %40, % is %25), " +
		"or write it into a file and name that as passwordFile"
)

// addressError says what is wrong with an address, and how to write it. It contains no part of the address that could
// belong to a password.
type addressError struct{ problem, remedy string }

// Error implements error.
func (e *addressError) Error() string { return e.problem + "; " + e.remedy }

func badAddress(problem string) error { return &addressError{problem, anyAddress} }

func badCredentials(problem string) error { return &addressError{problem, encodePassword} }

// address parses the URL by rules of its own before a client sees it: go-redis and net/url take the part of a password
// behind an unescaped # or / for something else, so that the client would connect to the wrong host and name it in its
// errors. Whatever is doubtful is refused.
func (c *RedisConfig) address() (*redis.UniversalOptions, error) {
	scheme, rest, found := strings.Cut(c.URL, "://")
	base, kind, _ := strings.Cut(scheme, "+")
	isKnown := scheme == "unix" || (base == "redis" || base == "rediss") && (kind == "sentinel" || kind == "cluster" ||
		kind == "" && scheme == base)
	if !found || !isKnown {
		return nil, badAddress("the URL has no known scheme")
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, badCredentials("the URL contains a blank or a control character")
	}
	if strings.Contains(rest, "#") {
		return nil, badCredentials("the URL contains an unescaped #")
	}
	o := &redis.UniversalOptions{}
	rest, err := c.credentials(o, rest)
	if err != nil {
		return nil, err
	}
	if base == "rediss" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	place, query, hasQuery := strings.Cut(rest, "?")
	if hasQuery && kind != "" {
		return nil, badAddress("this scheme does not support a query after ?")
	}
	switch kind {
	case "sentinel", "cluster":
		err = severalHosts(o, place, kind == "sentinel")
	default:
		if err = singleHost(o, scheme, place); err == nil {
			err = querySettings(o, query)
		}
	}
	return o, err
}

// credentials reads user:password@ at the beginning of s, and returns what is behind it.
func (c *RedisConfig) credentials(o *redis.UniversalOptions, s string) (rest string, err error) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s, nil
	}
	user, password, hasPassword := strings.Cut(s[:at], ":")
	if strings.ContainsAny(s[:at], "/?@") {
		return "", badCredentials("the user or the password contains an unescaped /, ? or @")
	}
	var userErr, passwordErr error
	o.Username, userErr = url.PathUnescape(user)
	o.Password, passwordErr = url.PathUnescape(password)
	switch {
	case userErr != nil || passwordErr != nil:
		return "", badCredentials("the user or the password is not correctly percent-encoded")
	case o.Username != "" && o.Password == "" && c.PasswordFile == "":
		return "", &addressError{"the user has no password, so the connection would use the default user",
			"write redis://USER:PASSWORD@HOST:PORT, or name a file with the password as passwordFile"}
	case o.Username == "" && o.Password == "" && (hasPassword || c.PasswordFile == ""):
		return "", &addressError{"the password before the @ is missing",
			"write redis://USER:PASSWORD@HOST:PORT, or remove the @"}
	}
	return s[at+1:], nil
}

// checkHost checks HOST:PORT; without a port it adds that of Redis where that is allowed.
func checkHost(s string, portOptional bool) (string, error) {
	if strings.Contains(s, ",") {
		return "", &addressError{"the URL has several hosts",
			"name one, or write redis+cluster://HOST:PORT,... or redis+sentinel://HOST:PORT,.../MASTER"}
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil && portOptional && !strings.Contains(strings.Trim(s, "[]"), ":") || strings.HasSuffix(s, "]") {
		host, port, err = strings.Trim(s, "[]"), "6379", nil
	}
	if portOptional && err == nil && port == "" {
		port = "6379"
	}
	isIPv6 := strings.HasPrefix(s, "[")
	if err != nil || isIPv6 != strings.Contains(host, ":") || isIPv6 && net.ParseIP(host) == nil {
		return "", &addressError{"a host is not of the form HOST:PORT", "write HOST:PORT, and an IPv6 address in [ ]"}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		// The text is not repeated: of redis://user:password without @ it is the password.
		return "", &addressError{"the port of a host is not a number from 1 to 65535",
			"write HOST:PORT; a password belongs before an @, as in redis://:PASSWORD@HOST:PORT"}
	}
	if host == "" && portOptional {
		host = "localhost"
	}
	isOther := func(r rune) bool {
		isAllowed := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:", r)
		return !isAllowed && r < 0x80
	}
	if host == "" || !isIPv6 && strings.ContainsFunc(host, isOther) {
		return "", &addressError{"not a valid Redis address: a host name has characters other than letters, digits, - and .", encodePassword}
	}
	return net.JoinHostPort(host, port), nil
}

// singleHost reads HOST:PORT/DB, or the path of a socket.
func singleHost(o *redis.UniversalOptions, scheme, place string) error {
	if scheme == "unix" {
		path, err := url.PathUnescape(place)
		if err != nil || !strings.HasPrefix(path, "/") {
			return &addressError{"the path of the socket is not absolute", "write unix:///PATH"}
		}
		o.Addrs = []string{path}
		return nil
	}
	hostPort, db, _ := strings.Cut(place, "/")
	host, err := checkHost(hostPort, true)
	if err != nil {
		return err
	}
	o.Addrs = []string{host}
	return database(o, db)
}

// database reads the number of a database; "" is 0.
func database(o *redis.UniversalOptions, text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return &addressError{"the database is not a number", "write a number like /0, or percent-encode a password with / (%2F)"}
	}
	o.DB = int(n)
	return nil
}

// querySettings reads the query. Further settings of the client are refused, because they would be lost.
func querySettings(o *redis.UniversalOptions, query string) error {
	settings, err := url.ParseQuery(query)
	if err != nil {
		return badAddress("the query after ? is not valid")
	}
	for name, values := range settings {
		switch {
		case name == "db" && len(values) == 1:
			if err := database(o, values[0]); err != nil {
				return err
			}
		case name == "skip_verify" && len(values) == 1 && o.TLSConfig != nil:
			skip, err := strconv.ParseBool(values[0])
			if err != nil {
				return badAddress("skip_verify is neither true nor false")
			}
			o.TLSConfig.InsecureSkipVerify = skip
		default:
			return badAddress("the query after ? has parameters other than db and, with rediss, skip_verify")
		}
	}
	return nil
}

// severalHosts reads host:port,host:port[/master[/db]].
func severalHosts(o *redis.UniversalOptions, place string, sentinel bool) error {
	o.IsClusterMode = !sentinel
	hosts, path, _ := strings.Cut(place, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		checked, err := checkHost(host, false)
		if err != nil {
			return err
		}
		o.Addrs = append(o.Addrs, checked)
	}
	switch {
	case !sentinel && path != "":
		return badAddress("a cluster has no numbered databases")
	case !sentinel:
		return nil
	}
	master, db, _ := strings.Cut(path, "/")
	if master == "" {
		return badAddress("the name of the master is missing")
	}
	o.MasterName = master
	return database(o, db)
}
