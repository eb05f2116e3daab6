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

	"forward/internal/config"
	"forward/internal/forward"
	"forward/internal/tokens"
)

// addRun makes c run the gateway.
func addRun(c *cobra.Command) {
	load := settingsFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return run(c.Context(), cfg)
	}
}

// run is the life of the gateway: stores, gateway, listener, banner, and everything back in reverse.
func run(ctx context.Context, cfg *config.Config) (err error) {
	logger := newLogger(cfg)
	rooms, err := open(cfg, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rooms.Close()) }()

	listener, err := net.Listen("tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		return fmt.Errorf("listening on %s port %d: %w; choose another PORT or stop what uses it", cfg.Host, cfg.Port, err)
	}
	if commands := rooms.controls(); commands != nil {
		side, failed := listenControl(cfg.DataDir, commands)
		if failed != nil { // no reason not to answer requests
			logger.Warn("commands such as forward cache will not find this gateway", "error", failed)
		} else {
			defer func() { err = errors.Join(err, side.Close()) }()
		}
	}
	server := &http.Server{
		Handler:           rooms.gateway.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		// No WriteTimeout: it would cut streams. Each write has a deadline of its own instead.
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	var warming sync.WaitGroup
	warming.Go(tokens.Warm) // the first answer whose tokens are counted should not wait for the vocabulary
	defer warming.Wait()
	banner(os.Stderr, cfg, rooms, listener.Addr())
	return serve(ctx, server, listener, cfg, rooms.gateway, logger)
}

// serve answers until a signal, then drains. A second signal ends the process at once, by the default action.
func serve(ctx context.Context, server *http.Server, listener net.Listener, cfg *config.Config, gateway *forward.Gateway, logger *slog.Logger) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		if cfg.TLSCert != "" {
			failed <- server.ServeTLS(listener, cfg.TLSCert, cfg.TLSKey)
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
	logger.Info("stopping: no longer ready, waiting for open requests", "bound", cfg.ShutdownTimeout)
	gateway.Drain()
	drain(server, gateway, cfg.ShutdownTimeout)
	<-failed
	logger.Info("stopped")
	return nil
}

// drain lets open requests finish within the bound. Streams that are still open then get an error event; they have
// two more seconds to deliver it.
func drain(server *http.Server, gateway *forward.Gateway, bound time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	err := server.Shutdown(ctx)
	end, _ := ctx.Deadline()
	gateway.Wait(time.Until(end)) // for upgraded connections, of which Shutdown knows nothing
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

// newLogger returns the logger of everything that is not an answer: on stderr, as text or JSON.
func newLogger(cfg *config.Config) *slog.Logger {
	var level slog.Level // info unless LOG_LEVEL, which was checked when it was loaded, says otherwise
	level.UnmarshalText([]byte(cfg.LogLevel))
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
