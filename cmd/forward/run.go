package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/cache"
	"forward/internal/config"
	"forward/internal/control"
	"forward/internal/forward"
	"forward/internal/reload"
	"forward/internal/tokens"
)

// addRun makes c run the gateway.
func addRun(c *cobra.Command) {
	from := sourcesOf(c, hasManagedKeys)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, warnings, err := from.read(nil)
		printWarnings(c.ErrOrStderr(), warnings)
		if err != nil {
			return err
		}
		return run(c.Context(), reload.Options{Config: cfg, Warnings: warnings, Read: from.read, Propose: from.propose})
	}
}

// run is the life of the gateway: components, listener, control socket, banner,
// and everything back in reverse.
func run(ctx context.Context, options reload.Options) (err error) {
	cfg := options.Config
	logger, level := newLogger(cfg)
	hangup := make(chan os.Signal, 1)     // one more during a reload is enough
	signal.Notify(hangup, syscall.SIGHUP) // from the start, or SIGHUP would end a gateway that starts
	defer signal.Stop(hangup)
	// Before anything is opened: a port that is taken is reported at once, and
	// not after the wait for a cache that its gateway holds.
	listener, err := net.Listen("tcp", net.JoinHostPort(cfg.Listen.Host, strconv.Itoa(cfg.Listen.Port)))
	if err != nil {
		return fmt.Errorf("listening on %s port %d: %w; choose another PORT or stop what uses it", cfg.Listen.Host, cfg.Listen.Port, err)
	}
	defer listener.Close()
	pages, err := listenPages(cfg)
	if err != nil {
		return err
	}
	if pages != nil {
		defer pages.Close()
	}
	limitMemory(logger)
	stopTuning := tuneCollector()
	defer stopTuning()
	var a *app
	options.Log = logger
	options.Apply = func(next *config.Config) ([]string, error) { return a.apply(next) }
	settings := reload.New(options)
	hold, err := holdDataDir(ctx, cfg.DataDir, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hold.Close()) }()
	a, err = open(cfg, logger)
	if err != nil {
		return err
	}
	a.level = level
	a.settings = settings
	defer func() { err = errors.Join(err, a.Close()) }()

	side, failed := control.Listen(cfg.DataDir, a.controls(settings))
	if failed != nil { // the gateway can answer requests all the same
		logger.Warn("commands such as forward reload will not find this gateway", "error", failed)
	} else {
		defer func() { err = errors.Join(err, side.Close()) }()
	}
	defer settings.Stop() // before the components are closed
	server := newServer(a, logger)
	if cfg.Listen.TLSCert != "" {
		server.TLSConfig = a.tlsConfig()
	}
	a.reach(cfg, listener, pages)
	stopPages := a.servePages(pages, logger)
	defer stopPages()
	var warming sync.WaitGroup
	warming.Go(tokens.Warm) // the first answer whose tokens are counted should not wait for the vocabulary
	defer warming.Wait()
	banner(os.Stderr, cfg, a, listener.Addr())
	settings.Watch(hangup)
	return a.serve(ctx, server, listener, settings)
}

// controls returns the handler of the control socket.
func (a *app) controls(settings *reload.Reloader) http.Handler {
	return control.Handler(control.Options{
		Reload: func() (reload.Result, error) { return settings.Reload("forward reload") },
		Cache:  func() *cache.Cache { return a.cache.Load() },
		SignIn: a.signInLink,
	})
}

// newServer returns a server of the gateway's limits.
func newServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		// No WriteTimeout: it would cut streams. Each write has a deadline of
		// its own instead.
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// serve answers until a signal, then drains. A second signal ends the process
// at once, by the default action.
func (a *app) serve(ctx context.Context, server *http.Server, listener net.Listener, settings *reload.Reloader) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			failed <- server.ServeTLS(listener, "", "")
			return
		}
		failed <- server.Serve(listener)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	stop()
	gateway := a.gateway()
	gateway.Drain()
	a.draining.Store(true)
	settings.Stop()
	cfg := settings.Config()
	a.log.Info("stopping: no longer ready", "still takes requests for", cfg.Listen.ShutdownDelay, "then waits for them up to", cfg.Listen.ShutdownTimeout)
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-time.After(cfg.Listen.ShutdownDelay):
	}
	drain(server, gateway, cfg.Listen.ShutdownTimeout)
	<-failed
	a.log.Info("stopped")
	return nil
}

// drain lets open requests finish within the bound. Streams that are still open
// then get an error event; they have two more seconds to deliver it.
func drain(server *http.Server, gateway *forward.Gateway, bound time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	gateway.EndSockets()
	err := server.Shutdown(ctx)
	end, _ := ctx.Deadline()
	gateway.Wait(time.Until(end)) // for upgraded connections, which Shutdown does not know
	gateway.Abort()
	if err != nil {
		last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(last) != nil {
			server.Close()
		}
	}
	gateway.Wait(2 * time.Second)
}

// newLogger returns the logger of everything that is not an answer, on stderr,
// as text or JSON, and its level, which may be changed.
func newLogger(cfg *config.Config) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(logLevel(cfg))
	options := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), level
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), level
}

// logLevel is LOG_LEVEL, which was checked when it was loaded.
func logLevel(cfg *config.Config) (level slog.Level) {
	level.UnmarshalText([]byte(cfg.Log.Level))
	return level
}
