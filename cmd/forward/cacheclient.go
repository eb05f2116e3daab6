package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"forward/internal/cache"
	"forward/internal/config"
)

// cacheMount is where the handler of cache.Admin answers on the control socket.
const cacheMount = "/cache"

// cacheClient speaks to the handler of a cache: that of the running gateway, or of a cache it has opened itself.
type cacheClient struct {
	ctx     context.Context
	http    *http.Client
	running bool // it is the gateway's
	close   func() error
}

// openCacheClient finds the cache that the settings name. Who holds it is decided by who has its directory; what is in
// Redis can be reached without the gateway too, and what is in memory only through it.
func openCacheClient(ctx context.Context, cfg *config.Config, create bool) (*cacheClient, error) {
	socket := filepath.Join(cfg.DataDir, controlName)
	if cfg.CacheBackend == "BADGER" {
		if _, err := os.Stat(cfg.CacheDir); errors.Is(err, fs.ErrNotExist) && !create {
			return nil, fmt.Errorf("nothing has been remembered yet: there is no directory %s", cfg.CacheDir)
		}
		own, err := openOwnCache(ctx, cfg)
		if !errors.Is(err, cache.ErrInUse) {
			return own, err
		}
	}
	answered, err := controlled(ctx, cfg.DataDir)
	switch {
	case err != nil:
		return nil, err
	case answered:
		t := controlTransport(cfg.DataDir)
		return &cacheClient{ctx: ctx, http: &http.Client{Transport: t}, running: true, close: func() error { t.CloseIdleConnections(); return nil }}, nil
	case cfg.CacheBackend == "BADGER":
		return nil, fmt.Errorf("the cache directory %s is in use, and no gateway answers on %s: give this command the DATA_DIR of the gateway", cfg.CacheDir, socket)
	case cfg.CacheBackend == "MEMORY":
		return nil, fmt.Errorf("with CACHE_BACKEND=MEMORY the answers are in the running gateway, and none answers on %s", socket)
	}
	return openOwnCache(ctx, cfg)
}

// openOwnCache opens the cache in this process and serves its handler to itself.
func openOwnCache(ctx context.Context, cfg *config.Config) (*cacheClient, error) {
	c, err := cache.Open(cacheOptions(cfg, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	pipes := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: cacheHandler(c)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		server.Serve(pipes) // ends with Close
	}()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return pipes.dial(ctx) }}
	return &cacheClient{ctx: ctx, http: &http.Client{Transport: transport}, close: func() error {
		transport.CloseIdleConnections()
		err := server.Close()
		<-finished
		return errors.Join(err, c.Close())
	}}, nil
}

// openCache opens the cache for a gateway. A command that has just opened it is given the time to end.
func openCache(cfg *config.Config, logger *slog.Logger) (*cache.Cache, error) {
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := cache.Open(cacheOptions(cfg, logger))
		if !errors.Is(err, cache.ErrInUse) || time.Now().After(end) {
			return c, err
		}
	}
}

// cacheOptions are those of the gateway, so that a command that opens the cache keeps the same bounds.
func cacheOptions(cfg *config.Config, logger *slog.Logger) cache.Options {
	return cache.Options{Backend: cfg.CacheBackend, Dir: cfg.CacheDir, TTL: orForever(cfg.CacheTTL),
		MaxBytes: cfg.CacheMaxBytes, MaxEntryBytes: cfg.CacheMaxEntry, Log: logger}
}

func cacheHandler(c *cache.Cache) http.Handler {
	return http.StripPrefix(cacheMount, c.Admin())
}

func (c *cacheClient) Close() error { return c.close() }

func (c *cacheClient) get(path string, query url.Values, into any) error {
	return c.read(http.MethodGet, path, query, nil, into)
}

func (c *cacheClient) post(path string, query url.Values, body io.Reader, into any) error {
	return c.read(http.MethodPost, path, query, body, into)
}

func (c *cacheClient) read(method, path string, query url.Values, body io.Reader, into any) error {
	answer, err := c.do(method, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := json.NewDecoder(answer).Decode(into); err != nil {
		return fmt.Errorf("reading the answer of the cache: %w", err)
	}
	return nil
}

// do sends one request and returns the body of its answer, which the caller closes.
func (c *cacheClient) do(method, path string, query url.Values, body io.Reader) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(c.ctx, method, "http://forward"+cacheMount+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the cache: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("asking the cache: %w", err)
	}
	var said struct{ Error string }
	if json.Unmarshal(text, &said) == nil && said.Error != "" {
		return nil, errors.New(said.Error)
	}
	return nil, fmt.Errorf("the running gateway does not know this command: %s: %s", res.Status, strings.TrimSpace(string(text)))
}

// pipeListener is a listener inside of this process.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
