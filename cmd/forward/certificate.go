package main

import (
	"crypto/tls"
	"fmt"
	"slices"

	"forward/internal/config"
)

// readCertificate reads the files that TLS_CERT and TLS_KEY name, nil when they name none. A certificate that is being renewed may not
// fit its key for a moment, which is an error like any other in settings.
func readCertificate(cfg *config.Config) (*tls.Certificate, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	c, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("TLS_CERT=%s and TLS_KEY=%s: %w; write a certificate and its key as PEM", cfg.TLSCert, cfg.TLSKey, err)
	}
	return &c, nil
}

// tlsConfig serves each connection with the certificate that is in force when it is made.
func (r *rooms) tlsConfig() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.certificate.Load(), nil }}
}

// sameCertificate reports whether two certificates, nil for none, are the same.
func sameCertificate(a, b *tls.Certificate) bool {
	return a == nil || b == nil || slices.EqualFunc(a.Certificate, b.Certificate, slices.Equal[[]byte])
}
