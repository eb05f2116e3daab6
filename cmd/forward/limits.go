package main

import (
	"cmp"
	"fmt"

	"forward/internal/config"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/redis"
)

// gate makes the request limits and the paces of streams. The settings were checked when they were loaded.
func (r *rooms) gate(cfg *config.Config, before *inForce) (*limits.Gate, *limits.Paces, error) {
	var options limits.Options
	var err error
	if options.Rules, err = rules(cfg.ReqRates); err != nil {
		return nil, nil, fmt.Errorf("REQ_RATE_LIMIT: %w", err)
	}
	paces, err := rules(cfg.TokenRates)
	if err != nil {
		return nil, nil, fmt.Errorf("TOKEN_RATE_LIMIT: %w", err)
	}
	if options.Global, err = limits.ParseRates(cfg.GlobalRate); err != nil {
		return nil, nil, fmt.Errorf("GLOBAL_RATE_LIMIT: %w", err)
	}
	if before != nil {
		g, err := before.Gate.With(options.Rules, options.Global)
		return g, limits.NewPaces(paces), err
	}
	if options.Strategy, err = limits.ParseStrategy(cmp.Or(cfg.Strategy, string(limits.FixedWindow))); err != nil {
		return nil, nil, fmt.Errorf("RATE_LIMIT_STRATEGY: %w", err)
	}
	if cfg.RateBackend != "memory" {
		if r.redis, err = redis.Open(redis.Options{URL: cfg.RateBackend, Log: r.log}); err != nil {
			return nil, nil, fmt.Errorf("limits in Redis: %w", err)
		}
		r.closers = append(r.closers, r.redis)
		options.Redis = r.redis
	}
	g, err := limits.NewGate(options)
	return g, limits.NewPaces(paces), err
}

// lines makes the scheduler when there are models that forward.yaml bounds for the first time, and returns what puts other bounds in
// force: those who wait in it stay in line.
func (r *rooms) lines(cfg *config.Config) (apply func(), err error) {
	var list []queue.Rule
	for _, m := range cfg.Models {
		list = append(list, queue.Rule{Route: m.Route, Models: m.Model, Model: queue.Model{
			RPM: m.RPM, TPM: m.TPM, MaxParallel: m.MaxParallel, MaxQueue: m.MaxQueueSize, MaxWait: m.MaxQueueWait}})
	}
	if r.scheduler == nil && len(list) == 0 {
		return func() {}, nil
	}
	if r.scheduler == nil {
		options := queue.Options{}
		if r.redis != nil {
			options.Shared = queue.NewSharedBuckets(r.redis)
		}
		if r.scheduler, err = queue.New(options); err != nil {
			return nil, err
		}
	}
	return r.scheduler.Change(list)
}

// quotas makes the requests and tokens that names of each scope may use a minute and a day.
func (r *rooms) quotas(cfg *config.Config, before *inForce) (*limits.Quotas, error) {
	options := limits.QuotaOptions{Redis: r.redis, Location: cfg.Location, Log: r.log}
	for _, q := range cfg.Quotas {
		options.Quotas = append(options.Quotas, limits.Quota{Scope: limits.Scope(q.Scope), Match: q.Match,
			RequestsPerMinute: q.RequestsPerMinute, RequestsPerDay: q.RequestsPerDay, TokensPerMinute: q.TokensPerMinute, TokensPerDay: q.TokensPerDay,
			InputPerMinute: q.InputPerMinute, InputPerDay: q.InputPerDay, OutputPerMinute: q.OutputPerMinute, OutputPerDay: q.OutputPerDay, Shadow: q.Shadow})
	}
	if before != nil {
		return before.Quotas.With(options.Quotas)
	}
	return limits.NewQuotas(options)
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
