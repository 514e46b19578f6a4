package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/setting"
)

// validateTLS checks the files for TLS, beside an address that may not be valid (nil).
func (c *RedisConfig) validateTLS(p *setting.Problems, o *redis.UniversalOptions) {
	const rediss = "write redis.url with rediss, or remove the key"
	for _, file := range []struct{ key, path string }{
		{"caFile", c.CAFile}, {"certFile", c.CertFile}, {"keyFile", c.KeyFile},
	} {
		if file.path != "" && o != nil && o.TLSConfig == nil {
			p.Add(file.key, "the connection does not use TLS", rediss)
			return
		}
	}
	switch {
	case c.CertFile != "" && c.KeyFile == "":
		p.Add("certFile", "the certificate has no key", "name its key with keyFile")
		return
	case c.KeyFile != "" && c.CertFile == "":
		p.Add("keyFile", "the key has no certificate", "name its certificate with certFile")
		return
	}
	if c.CAFile != "" {
		if _, err := readCA(c.CAFile); err != nil {
			p.Add("caFile", err.Error(), "name a readable PEM file with certificates")
		}
	}
	if c.CertFile != "" {
		if _, err := readPair(c.CertFile, c.KeyFile); err != nil {
			p.Add("certFile", err.Error(), "name readable PEM files: a certificate, and its own key as keyFile")
		}
	}
}

// loadTLS reads the files for TLS into the options of a client.
func (c *RedisConfig) loadTLS(o *redis.UniversalOptions) error {
	if c.CAFile == "" && c.CertFile == "" && c.KeyFile == "" {
		return nil
	}
	if o.TLSConfig == nil {
		return errors.New("redis: TLS files need a redis.url with rediss")
	}
	var err error
	if c.CAFile != "" {
		if o.TLSConfig.RootCAs, err = readCA(c.CAFile); err != nil {
			return fmt.Errorf("redis.caFile: %w", err)
		}
	}
	if c.CertFile != "" || c.KeyFile != "" {
		pair, err := readPair(c.CertFile, c.KeyFile)
		if err != nil {
			return fmt.Errorf("redis.certFile: %w", err)
		}
		o.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func readCA(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, errors.New("the file cannot be read")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("the file contains no certificate")
	}
	return pool, nil
}

func readPair(certFile, keyFile string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return tls.Certificate{}, errors.New("the certificate and the key cannot be used together")
	}
	return pair, nil
}
