package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"forward/internal/cache"
	"forward/internal/config"
	"forward/internal/control"
)

// setCache opens the cache where anything may be cached.
func (a *app) setCache(c *change) error {
	cfg := c.cfg
	if !cfg.Cache.Chat && !cfg.Cache.Embedding && len(cfg.Cache.Routes) == 0 {
		return nil
	}
	if a.cache.Load() == nil {
		opened, err := openCache(cfg, a.log)
		if err != nil {
			return fmt.Errorf("opening the cache: %w", err)
		}
		a.cache.Store(opened)
		a.closers = append(a.closers, opened)
	}
	c.Cache = a.cache.Load()
	return nil
}

// openCache opens the cache for a gateway. A command that has just opened it is
// given the time to end.
func openCache(cfg *config.Config, logger *slog.Logger) (*cache.Cache, error) {
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := cache.Open(cacheOptions(cfg, logger))
		if !errors.Is(err, cache.ErrInUse) || time.Now().After(end) {
			return c, err
		}
	}
}

// cacheOptions are those of the gateway, so that a command that opens the cache
// keeps the same bounds.
func cacheOptions(cfg *config.Config, logger *slog.Logger) cache.Options {
	o := cfg.Cache.Options
	o.TTL = orForever(o.TTL)
	o.Log = logger
	return o
}

// cacheClient works on the cache of the running gateway, or on one that the
// command has opened itself.
type cacheClient struct {
	*control.Client
	own *cache.Cache // nil: the cache is the gateway's
}

// openCacheClient finds the cache that the settings name. For Badger the
// process that has the directory open decides; Redis can be reached without the
// gateway too, and a cache in memory only through it.
func openCacheClient(ctx context.Context, cfg *config.Config, create bool) (*cacheClient, error) {
	if cfg.Cache.Backend == "BADGER" {
		if _, err := os.Stat(cfg.Cache.Dir); errors.Is(err, fs.ErrNotExist) && !create {
			return nil, fmt.Errorf("nothing has been remembered yet: there is no directory %s", cfg.Cache.Dir)
		}
		own, err := openOwnCache(cfg)
		if !errors.Is(err, cache.ErrInUse) {
			return own, err
		}
	}
	running, err := control.Running(ctx, cfg.DataDir)
	switch {
	case err != nil:
		return nil, err
	case running:
		return &cacheClient{Client: control.NewClient(cfg.DataDir)}, nil
	case cfg.Cache.Backend == "BADGER":
		return nil, fmt.Errorf("the cache directory %s is in use, and no gateway answers on %s: give this command the DATA_DIR of the gateway", cfg.Cache.Dir, control.Path(cfg.DataDir))
	case cfg.Cache.Backend == "MEMORY":
		return nil, fmt.Errorf("with CACHE_BACKEND=MEMORY the answers are in the running gateway, and none answers on %s", control.Path(cfg.DataDir))
	}
	return openOwnCache(cfg)
}

func openOwnCache(cfg *config.Config) (*cacheClient, error) {
	own, err := cache.Open(cacheOptions(cfg, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	handler := control.Handler(control.Options{Cache: func() *cache.Cache { return own }})
	return &cacheClient{control.Local(handler), own}, nil
}

func (c *cacheClient) Close() error {
	c.Client.Close()
	if c.own == nil {
		return nil
	}
	return c.own.Close()
}
