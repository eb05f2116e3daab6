package main

import (
	"fmt"

	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/redis"
)

// setGate makes the request limits and the paces of streams. Windows go on
// through a reload.
func (a *app) setGate(c *change) (err error) {
	options := c.cfg.Limits.Options
	c.Paces = limits.NewPaces(c.cfg.Limits.Paces)
	if c.before != nil {
		c.Gate, err = c.before.Gate.With(options.Rules, options.Global)
		return err
	}
	if c.cfg.Limits.Backend != "memory" {
		a.redis, err = redis.Open(redis.Options{URL: c.cfg.Limits.Backend, Log: a.log})
		if err != nil {
			return fmt.Errorf("limits in Redis: %w", err)
		}
		a.closers = append(a.closers, a.redis)
		options.Redis = a.redis
	}
	c.Gate, err = limits.NewGate(options)
	return err
}

// setScheduler makes the scheduler when forward.yaml bounds models for the
// first time. It is the one component whose rules change in place: requests
// that wait for a model's allowance must wait in one queue.
func (a *app) setScheduler(c *change) (err error) {
	if a.scheduler == nil && len(c.cfg.Models) == 0 {
		return nil
	}
	if a.scheduler == nil {
		var options queue.Options
		if a.redis != nil {
			options.Shared = queue.NewSharedBuckets(a.redis)
		}
		a.scheduler, err = queue.New(options)
		if err != nil {
			return err
		}
	}
	commit, err := a.scheduler.Change(c.cfg.Models)
	if err != nil {
		return err
	}
	c.Scheduler = a.scheduler
	c.commit = append(c.commit, commit)
	return nil
}

// setQuotas makes the quotas of requests and tokens. Counters go on through a
// reload.
func (a *app) setQuotas(c *change) (err error) {
	if c.before != nil {
		c.Quotas, err = c.before.Quotas.With(c.cfg.Limits.Quotas)
		return err
	}
	c.Quotas, err = limits.NewQuotas(limits.QuotaOptions{Quotas: c.cfg.Limits.Quotas, Redis: a.redis, Location: c.cfg.Location, Log: a.log})
	return err
}
