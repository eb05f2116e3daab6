package main

import (
	"crypto/tls"
	"fmt"
	"slices"
)

// setCertificate reads the files that TLS_CERT and TLS_KEY name. A certificate
// that is being renewed may not fit its key for a moment, which is an error
// like any other in settings.
func (a *app) setCertificate(c *change) error {
	if c.cfg.Listen.TLSCert == "" {
		return nil
	}
	certificate, err := tls.LoadX509KeyPair(c.cfg.Listen.TLSCert, c.cfg.Listen.TLSKey)
	if err != nil {
		return fmt.Errorf("TLS_CERT=%s and TLS_KEY=%s: %w; write a certificate and its key as PEM", c.cfg.Listen.TLSCert, c.cfg.Listen.TLSKey, err)
	}
	c.commit = append(c.commit, func() { a.certificate.Store(&certificate) })
	return nil
}

// tlsConfig serves each connection with the certificate that is current when it
// is made.
func (a *app) tlsConfig() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.certificate.Load(), nil }}
}

// sameCertificate reports whether two certificates, nil for none, are the same.
func sameCertificate(a, b *tls.Certificate) bool {
	return a == nil || b == nil || slices.EqualFunc(a.Certificate, b.Certificate, slices.Equal[[]byte])
}
