package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/config"
	"forward/internal/control"
)

const (
	// linkLife is how long a link of `forward dashboard` signs in.
	linkLife = time.Minute
	// openPatience is how long a browser may take to read the file that leads
	// it to the link.
	openPatience = 5 * time.Second
)

// listenPages listens on DASHBOARD_ADDR, where there is one.
func listenPages(cfg *config.Config) (net.Listener, error) {
	if cfg.Dashboard.Addr == "" || !cfg.Dashboard.On {
		return nil, nil
	}
	listener, err := net.Listen("tcp", cfg.Dashboard.Addr)
	if err != nil {
		return nil, fmt.Errorf("listening on DASHBOARD_ADDR %s: %w; choose another one or stop what uses it", cfg.Dashboard.Addr, err)
	}
	return listener, nil
}

// servePages serves the dashboard on a listener of its own until the returned
// function is called.
func (a *app) servePages(listener net.Listener, logger *slog.Logger) (stop func()) {
	if listener == nil {
		return func() {}
	}
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages := a.current.Load().pages
		if pages == nil {
			http.NotFound(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	}), logger)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if a.current.Load().cfg.Listen.TLSCert != "" {
			server.TLSConfig = a.tlsConfig()
			server.ServeTLS(listener, "", "")
			return
		}
		server.Serve(listener) // ends with Close
	}()
	return func() {
		server.Close()
		<-finished
	}
}

// reach keeps the address of the dashboard, as this machine reaches it.
func (a *app) reach(cfg *config.Config, gateway, pages net.Listener) {
	listener := gateway
	if pages != nil {
		listener = pages
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return
	}
	url, err := listenAddress(&config.Listen{Host: address.IP.String(), Port: address.Port, TLSCert: cfg.Listen.TLSCert})
	if err != nil {
		return // the port of a listener is never 0
	}
	url += "/_/"
	a.reached.Store(&url)
}

// dashboardURL is the address of the dashboard, "" where there is none.
func (a *app) dashboardURL() string {
	now, url := a.current.Load(), a.reached.Load()
	if url == nil || (!now.Dashboard && now.pages == nil) {
		return ""
	}
	return *url
}

// signInLink makes a link that signs in once. The code is in the fragment,
// which browsers do not send, so no log has it.
func (a *app) signInLink(ctx context.Context) (string, error) {
	url := a.dashboardURL()
	if url == "" {
		if !a.current.Load().cfg.Dashboard.On {
			return "", errors.New("the dashboard is switched off: set DASHBOARD=true")
		}
		return "", errors.New("there is no dashboard: DATA_DIR cannot be written, so no sign-in could be kept")
	}
	code, err := a.sessions.Link(ctx, linkLife)
	if err != nil {
		return "", err
	}
	return url + "#/signin/" + code, nil
}

// dashboardCommand opens the dashboard of the running gateway.
func dashboardCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dashboard",
		Short: "Open the dashboard of the running gateway, signed in as administrator",
		Long: "dashboard prints a link that signs in once, within a minute, and opens it where there is a browser. It needs no ADMIN_KEY: a user\n" +
			"that can write DATA_DIR can read everything in it anyway. It finds the gateway by DATA_DIR, which it reads as the gateway does.",
		Example: "  forward dashboard\n  docker exec forward /forward dashboard --url https://llm.example.com",
	}
	base := c.Flags().String("url", "", "address at which your browser reaches the gateway; by default that of its listener")
	printOnly := c.Flags().Bool("print", false, "print the link only")
	flags := settingsFlags(c)
	hideListener(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := config.DataDir(flags(), os.Environ()) // also where other settings are wrong
		if err != nil {
			return err
		}
		running, err := control.Running(c.Context(), dir)
		if err != nil {
			return err
		}
		if !running {
			return fmt.Errorf("no gateway answers on %s: start one, or give this command the DATA_DIR of the one that runs", control.Path(dir))
		}
		client := control.NewClient(dir)
		defer client.Close()
		link, err := client.SignIn(c.Context())
		if err != nil {
			return err
		}
		if *base != "" {
			_, code, _ := strings.Cut(link, "/_/")
			link = strings.TrimSuffix(strings.TrimRight(*base, "/"), "/_") + "/_/" + code
		}
		if _, err := fmt.Fprintln(c.OutOrStdout(), link); err != nil {
			return err
		}
		if *printOnly {
			return nil
		}
		return openBrowser(c.ErrOrStderr(), link)
	}
	return c
}

// opener returns the program that opens a file in the browser of the person
// before this machine, or nil.
func opener(path string) *exec.Cmd {
	switch runtime.GOOS {
	case "darwin":
		return exec.Command("open", path)
	case "windows":
		return exec.Command("rundll32", "url.dll,FileProtocolHandler", path)
	}
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return nil
	}
	program, err := exec.LookPath("xdg-open")
	if err != nil {
		return nil
	}
	return exec.Command(program, path)
}

// openBrowser opens a link. Other users of the machine can read the arguments
// of programs, so the browser gets a file of this user's that leads it there.
func openBrowser(w io.Writer, link string) error {
	dir, err := os.MkdirTemp("", "forward-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "signin.html")
	program := opener(path)
	if program == nil {
		fmt.Fprintln(w, "Open this link within a minute; it signs in once.")
		return nil
	}
	page := "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta http-equiv=\"refresh\" content=\"0; url=" + html.EscapeString(link) + "\">\n<title>forward</title>\n"
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		return err
	}
	if err := program.Run(); err != nil {
		fmt.Fprintf(w, "No browser could be opened (%v): open this link within a minute; it signs in once.\n", err)
		return nil
	}
	fmt.Fprintln(w, "The link signs in once, within a minute. If no page opens, open it yourself.")
	time.Sleep(openPatience)
	return nil
}
