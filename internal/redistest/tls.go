package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// WithTLS makes the server also listen with TLS, at [Server.TLSAddr]. Its certificate for 127.0.0.1 and localhost comes
// from an authority for this server alone. A client certificate is optional, and required with
// WithArgs("--tls-auth-clients", "yes"). The plain port of [Server.Addr] stays open, for this package.
func WithTLS() Option {
	return func(s *settings) { s.tls = true }
}

// TLSFiles are the paths of PEM files.
type TLSFiles struct {
	CA   string // the certificate of the authority
	Cert string // a certificate of that authority, for servers and clients
	Key  string // its private key
}

// tlsListener is the TLS listener of a server.
type tlsListener struct {
	port   int
	files  TLSFiles
	config *tls.Config
}

// TLSAddr returns the host and port of the TLS listener, which a restart does not change. It requires [WithTLS].
func (s *Server) TLSAddr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.withTLS().port))
}

// TLSConfig returns a new configuration for clients of [Server.TLSAddr], which the caller may change. It trusts only
// the authority of s and contains a client certificate. It requires [WithTLS].
func (s *Server) TLSConfig() *tls.Config { return s.withTLS().config.Clone() }

// TLSFiles returns the parts of [Server.TLSConfig] as files. It requires [WithTLS].
func (s *Server) TLSFiles() TLSFiles { return s.withTLS().files }

func (s *Server) withTLS() *tlsListener {
	if s.tls == nil {
		panic("redistest: the server was not started WithTLS")
	}
	return s.tls
}

func (l *tlsListener) args() []string {
	return []string{
		"--tls-port", strconv.Itoa(l.port), "--tls-ca-cert-file", l.files.CA, "--tls-cert-file", l.files.Cert,
		"--tls-key-file", l.files.Key, "--tls-auth-clients", "optional",
	}
}

// newTLSListener creates an authority and one certificate for servers and clients, and writes them to dir.
func newTLSListener(dir string) (*tlsListener, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create key of the authority: %w", err)
	}
	ca := certificate(1, "redistest authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("create certificate of the authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	leaf := certificate(2, "redistest")
	leaf.IPAddresses, leaf.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("create certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	l := &tlsListener{files: TLSFiles{
		CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
	}}
	return l, l.write(caDER, leafDER, keyDER)
}

// write stores the certificates and the key in their files and in the configuration of clients.
func (l *tlsListener) write(ca, leaf, key []byte) error {
	pems := make(map[string][]byte)
	for path, block := range map[string]*pem.Block{
		l.files.CA:   {Type: "CERTIFICATE", Bytes: ca},
		l.files.Cert: {Type: "CERTIFICATE", Bytes: leaf},
		l.files.Key:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		pems[path] = pem.EncodeToMemory(block)
		if err := os.WriteFile(path, pems[path], 0o600); err != nil {
			return fmt.Errorf("write certificate: %w", err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pems[l.files.CA])
	pair, err := tls.X509KeyPair(pems[l.files.Cert], pems[l.files.Key])
	if err != nil {
		return fmt.Errorf("load certificate: %w", err)
	}
	l.config = &tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12,
	}
	return nil
}

// certificate returns a template whose validity begins before now, because times in certificates are cut to seconds.
func certificate(serial int64, name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(24 * time.Hour),
	}
}
