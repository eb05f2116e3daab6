package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// healthcheckCommand asks a running gateway whether it is ready: for
// HEALTHCHECK in an image without a shell.
func healthcheckCommand() *cobra.Command {
	c := &cobra.Command{Use: "healthcheck", Short: "Ask the gateway on this machine whether it is ready"}
	return frame{}.command(c, func(c *call) error {
		host := c.cfg.Listen.Host
		if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
			host = "127.0.0.1"
		}
		scheme := "http"
		if c.cfg.Listen.TLSCert != "" {
			scheme = "https"
		}
		// The certificate is for the public name; this request is about the
		// process only.
		client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		res, err := client.Get(scheme + "://" + net.JoinHostPort(host, strconv.Itoa(c.cfg.Listen.Port)) + "/readyz")
		if err != nil {
			return fmt.Errorf("the gateway does not answer: %w", err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("the gateway is not ready: /readyz answers %s", res.Status)
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), "ready")
		return err
	})
}
