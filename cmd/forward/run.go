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
	read := settingsReader(c, hasManagedKeys)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, warnings, err := read(nil)
		printWarnings(c.ErrOrStderr(), warnings)
		if err != nil {
			return err
		}
		return run(c.Context(), newReloader(cfg, warnings, read))
	}
}

// run is the life of the gateway: stores, gateway, listener, banner, and everything back in reverse.
func run(ctx context.Context, settings *reloader) (err error) {
	cfg := settings.cfg
	logger, level := newLogger(cfg)
	again := onHangup() // from the begin on, or it would end a gateway that starts
	defer again.stop()
	limitMemory(ctx, logger)
	rooms, err := open(cfg, logger)
	if err != nil {
		return err
	}
	rooms.level = level
	settings.rooms, settings.log = rooms, logger
	defer func() { err = errors.Join(err, rooms.Close()) }()

	listener, err := net.Listen("tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		return fmt.Errorf("listening on %s port %d: %w; choose another PORT or stop what uses it", cfg.Host, cfg.Port, err)
	}
	side, failed := listenControl(cfg.DataDir, settings.controls())
	if failed != nil { // no reason not to answer requests
		logger.Warn("commands such as forward reload will not find this gateway", "error", failed)
	} else {
		defer func() { err = errors.Join(err, side.Close()) }()
	}
	defer settings.stop() // before what it changes is closed
	server := &http.Server{
		Handler:           rooms,
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
	settings.watch(again.signals)
	return serve(ctx, server, listener, settings)
}

// serve answers until a signal, then drains. A second signal ends the process at once, by the default action.
func serve(ctx context.Context, server *http.Server, listener net.Listener, settings *reloader) error {
	logger, cfg := settings.log, settings.cfg
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		if cfg.TLSCert != "" {
			server.TLSConfig = settings.rooms.tlsConfig()
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
	gateway := settings.rooms.gateway()
	gateway.Drain()
	settings.rooms.leaving.Store(true)
	settings.stop()
	delay, bound := settings.cfg.ShutdownDelay, settings.cfg.ShutdownTimeout
	logger.Info("stopping: no longer ready", "still takes requests for", delay, "then waits for them up to", bound)
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-time.After(delay):
	}
	drain(server, gateway, bound)
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

// newLogger returns the logger of everything that is not an answer, on stderr, as text or JSON, and its level, which may be changed.
func newLogger(cfg *config.Config) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(logLevel(cfg))
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), level
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), level
}

// logLevel is info unless LOG_LEVEL, which was checked when it was loaded, says otherwise.
func logLevel(cfg *config.Config) (level slog.Level) {
	level.UnmarshalText([]byte(cfg.LogLevel))
	return level
}
