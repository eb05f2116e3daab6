package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"forward/internal/admin"
	"forward/internal/audit"
	"forward/internal/cache"
	"forward/internal/config"
	"forward/internal/dashboard"
	"forward/internal/live"
	"forward/internal/reload"
	"forward/internal/session"
	"forward/internal/upstream"
)

// administration is what lives as long as the process for the API and the
// dashboard: what one request did a moment ago must bound the next one through
// a reload.
type administration struct {
	sessions *session.Store // of the dashboard; nil without db, as is audit
	audit    *audit.Log
	live     live.Requests          // those under way, of all generations
	pages    *dashboard.Handler     // nil: no settings needed it yet
	reached  atomic.Pointer[string] // the dashboard's address, as this machine reaches it; nil: nothing listens yet
	settings *reload.Reloader       // nil where settings are only tried
	checks   upstream.Checks
	proposal sync.Mutex // one text is tried at a time
}

// gatewayOf returns what the API shows and changes of the gateway, as the
// commands do.
func (a *app) gatewayOf(c *change) admin.Gateway {
	g := admin.Gateway{
		Upstreams: a.upstreams,
		Check:     a.checkUpstream,
		Wake: func(route string, key int) bool {
			r := a.routeNamed(route)
			return r != nil && r.Keys.Wake(key)
		},
		Cache:  func() *cache.Cache { return a.cache.Load() },
		Prices: c.Prices,
		Settings: admin.Settings{
			List:   func() []admin.Setting { return settingsOf(a.current.Load().cfg) },
			Export: func(w io.Writer) error { return a.current.Load().cfg.Export(w) },
			Check:  a.checkText,
			Reload: a.reloadSettings,
		},
	}
	if a.accounts != nil && a.accounts.warn != nil {
		g.TestAlert = func(ctx context.Context) (int, error) { return a.accounts.warn.Test(ctx, time.Now()) }
	}
	return g
}

func (a *app) routeNamed(name string) *upstream.Route {
	for _, r := range a.current.Load().Routes.Routes() {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// upstreams are the states of all routes.
func (a *app) upstreams() (list []admin.Upstream) {
	g := a.current.Load()
	for _, r := range g.Routes.Routes() {
		u := admin.Upstream{Route: r.Prefix, Name: r.Name, Dialect: r.Dialect.Name, Access: accessOf(r),
			Bases: []admin.UpstreamBase{}, Keys: []admin.UpstreamKey{}}
		for _, b := range r.Bases() {
			u.Bases = append(u.Bases, admin.UpstreamBase{URL: b.URL, State: b.State, Since: when(b.Since)})
		}
		for _, k := range r.Keys.Report() {
			u.Keys = append(u.Keys, keyState(k))
		}
		list = append(list, u)
	}
	return list
}

func accessOf(r *upstream.Route) string {
	switch {
	case r.Client:
		return "client"
	case r.Open:
		return "open"
	}
	return "keys"
}

// keyState is a key's state in the words of the API.
func keyState(k upstream.KeyState) admin.UpstreamKey {
	s := admin.UpstreamKey{Number: k.Index, State: "ready", Until: when(k.Until)}
	switch k.State {
	case "resting":
		s.State = "resting"
		s.Reason = "rate_limit"
		if k.Reason != "" {
			s.Reason = k.Reason
		}
	case "set_aside":
		s.State = "rejected"
		s.Reason = "refused"
	}
	return s
}

// when is nil for the zero time.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// checkUpstream makes a connect test of a route's base URLs.
func (a *app) checkUpstream(ctx context.Context, name string) admin.Checked {
	r := a.routeNamed(name)
	if r == nil {
		return admin.Checked{}
	}
	checked := admin.Checked{Found: true, Wait: a.checks.Start(name, time.Now()), Results: []admin.Reached{}}
	if checked.Wait > 0 {
		return checked
	}
	var transport http.RoundTripper = r.Transport
	if transport == nil {
		fresh, err := reachTransport(a.current.Load().cfg)
		if err != nil { // as the gateway's own would have at its start
			a.log.Error("a connect test was not made", "route", name, "error", err)
			return checked
		}
		defer fresh.CloseIdleConnections()
		transport = fresh
	}
	for _, one := range upstream.Reach(ctx, transport, append([]*url.URL{r.Base}, r.Also...)) {
		reached := admin.Reached{URL: one.URL, OK: one.Err == nil, MS: float64(one.Took.Microseconds()) / 1000}
		if one.Err != nil {
			reached.Error = one.Err.Error()
		}
		checked.Results = append(checked.Results, reached)
	}
	return checked
}

// settingsOf lists settings as the API shows them.
func settingsOf(cfg *config.Config) []admin.Setting {
	list := []admin.Setting{}
	pending := cfg.NeedsRestart()
	for _, s := range cfg.Effective() {
		list = append(list, admin.Setting{Name: s.Name, Value: s.Value, Source: string(s.Source), Where: s.Where, Restart: s.Fixed,
			Fixed: s.Source == config.Environment || s.Source == config.Flag, Pending: slices.Contains(pending, s.Name)})
	}
	return list
}

// checkText checks a text in the place of forward.yaml as `forward check` does,
// but opens nothing that the text names.
func (a *app) checkText(text string) admin.SettingsCheck {
	a.proposal.Lock()
	defer a.proposal.Unlock()
	p := a.settings.Propose(text)
	answer := admin.SettingsCheck{Problems: []admin.SettingsProblem{}, Warnings: []string{}, Changes: []admin.SettingsChange{}}
	for _, problem := range p.Problems {
		one := admin.SettingsProblem{Setting: problem.Name, Message: problem.Text()}
		if line := problem.Line(); line > 0 {
			one.Line = &line
		}
		answer.Problems = append(answer.Problems, one)
	}
	if p.Config != nil {
		trial := *p.Config
		if running := a.current.Load().cfg.Listen; trial.Listen.TLSCert != running.TLSCert || trial.Listen.TLSKey != running.TLSKey {
			trial.Listen.TLSCert = ""
			trial.Listen.TLSKey = ""
		}
		if err := try(&trial); err != nil {
			answer.Problems = append(answer.Problems, admin.SettingsProblem{Message: err.Error()})
		}
	}
	for _, w := range p.Warnings {
		answer.Warnings = append(answer.Warnings, w.String())
	}
	for _, c := range p.Changes {
		answer.Changes = append(answer.Changes, admin.SettingsChange(c))
	}
	answer.OK = len(answer.Problems) == 0
	return answer
}

// reloadSettings does what `forward reload` does.
func (a *app) reloadSettings() (admin.Reloaded, error) {
	r, err := a.settings.Reload("the dashboard")
	if err != nil {
		return admin.Reloaded{}, err
	}
	return admin.Reloaded{Changed: append([]string{}, r.Changed...), Restart: append([]string{}, r.NeedsRestart...), Warnings: append([]string{}, r.Warnings...)}, nil
}
