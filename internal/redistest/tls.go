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

// WithTLS makes the server listen with TLS too, at [Server.TLSAddr], with a certificate for 127.0.0.1 and localhost from
// an authority that is made for this server alone. A client may show a certificate and need not; with
// WithArgs("--tls-auth-clients", "yes") it must. The plain port of [Server.Addr] stays, for the harness.
func WithTLS() Option {
	return func(s *settings) { s.tls = true }
}

// TLSFiles are the paths of PEM files, for programs that are configured with paths.
type TLSFiles struct {
	CA   string // the certificate of the authority
	Cert string // a certificate of that authority, for servers and clients
	Key  string // its private key
}

// tlsListener is what a server with TLS has more than others.
type tlsListener struct {
	port   int
	files  TLSFiles
	config *tls.Config
}

// TLSAddr returns the host and port where s speaks TLS; they stay the same over a restart. It needs [WithTLS].
func (s *Server) TLSAddr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.withTLS().port))
}

// TLSConfig returns a new configuration for clients of [Server.TLSAddr]: it trusts the authority of s alone and shows a
// certificate of it. The caller may change it. It needs [WithTLS].
func (s *Server) TLSConfig() *tls.Config { return s.withTLS().config.Clone() }

// TLSFiles returns what [Server.TLSConfig] consists of, as files. It needs [WithTLS].
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

// newTLSListener makes an authority and one certificate, which serves both sides, and writes them to dir.
func newTLSListener(dir string) (*tlsListener, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of the authority: %w", err)
	}
	ca := certificate(1, "redistest authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("make certificate of the authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	leaf := certificate(2, "redistest")
	leaf.IPAddresses, leaf.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
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

// write puts the three into their files, and into the configuration of clients.
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

// certificate returns a template that is valid around now: the clocks of one machine agree, but whole seconds are cut.
func certificate(serial int64, name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(24 * time.Hour),
	}
}
