package main

import (
	"cmp"
	"fmt"

	"forward/internal/config"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/redis"
)

// setGate makes the request limits and the paces of streams. Windows go on
// through a reload.
func (a *app) setGate(c *change) error {
	var options limits.Options
	var err error
	if options.Rules, err = rules(c.cfg.ReqRates); err != nil {
		return fmt.Errorf("REQ_RATE_LIMIT: %w", err)
	}
	paces, err := rules(c.cfg.TokenRates)
	if err != nil {
		return fmt.Errorf("TOKEN_RATE_LIMIT: %w", err)
	}
	if options.Global, err = limits.ParseRates(c.cfg.GlobalRate); err != nil {
		return fmt.Errorf("GLOBAL_RATE_LIMIT: %w", err)
	}
	c.Paces = limits.NewPaces(paces)
	if c.before != nil {
		c.Gate, err = c.before.Gate.With(options.Rules, options.Global)
		return err
	}
	if options.Strategy, err = limits.ParseStrategy(cmp.Or(c.cfg.Strategy, string(limits.FixedWindow))); err != nil {
		return fmt.Errorf("RATE_LIMIT_STRATEGY: %w", err)
	}
	if c.cfg.RateBackend != "memory" {
		a.redis, err = redis.Open(redis.Options{URL: c.cfg.RateBackend, Log: a.log})
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
func (a *app) setScheduler(c *change) error {
	var list []queue.Rule
	for _, m := range c.cfg.Models {
		list = append(list, queue.Rule{Route: m.Route, Models: m.Model, Model: queue.Model{
			RPM: m.RPM, TPM: m.TPM, MaxParallel: m.MaxParallel, MaxQueue: m.MaxQueueSize, MaxWait: m.MaxQueueWait}})
	}
	if a.scheduler == nil && len(list) == 0 {
		return nil
	}
	if a.scheduler == nil {
		var options queue.Options
		if a.redis != nil {
			options.Shared = queue.NewSharedBuckets(a.redis)
		}
		var err error
		if a.scheduler, err = queue.New(options); err != nil {
			return err
		}
	}
	commit, err := a.scheduler.Change(list)
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
	options := limits.QuotaOptions{Redis: a.redis, Location: c.cfg.Location, Log: a.log}
	for _, q := range c.cfg.Quotas {
		options.Quotas = append(options.Quotas, limits.Quota{Scope: limits.Scope(q.Scope), Match: q.Match,
			RequestsPerMinute: q.RequestsPerMinute, RequestsPerDay: q.RequestsPerDay, TokensPerMinute: q.TokensPerMinute, TokensPerDay: q.TokensPerDay,
			InputPerMinute: q.InputPerMinute, InputPerDay: q.InputPerDay, OutputPerMinute: q.OutputPerMinute, OutputPerDay: q.OutputPerDay, Shadow: q.Shadow})
	}
	if c.before != nil {
		c.Quotas, err = c.before.Quotas.With(options.Quotas)
		return err
	}
	c.Quotas, err = limits.NewQuotas(options)
	return err
}

func rules(list []config.RateRule) ([]limits.Rule, error) {
	var out []limits.Rule
	for _, r := range list {
		rates, err := limits.ParseRates(r.Limit)
		if err != nil {
			return nil, err
		}
		out = append(out, limits.Rule{Path: r.Path, Level: r.Level, Rates: rates})
	}
	return out, nil
}
