package admin

import (
	"context"
	"io"
	"net/http"
	"time"

	"forward/internal/cache"
	"forward/internal/price"
)

// Gateway is what the administrator sees and changes of the running gateway.
// What is nil is not there, and its paths answer 404.
type Gateway struct {
	Upstreams func() []Upstream
	// Check tests whether the base URLs of a route can be reached. It takes
	// what the settings have, and nothing of a request.
	Check func(ctx context.Context, route string) Checked
	// Wake ends the rest of an API key, and reports whether there is one.
	Wake     func(route string, key int) bool
	Cache    func() *cache.Cache // returns nil while there is none
	Prices   *price.Table
	Settings Settings
	// TestAlert posts a test message to BUDGET_WEBHOOK. It returns the status
	// of the answer, 0 for none.
	TestAlert func(ctx context.Context) (status int, err error)
}

// Settings are the functions about the settings of the running gateway.
type Settings struct {
	List   func() []Setting
	Export func(io.Writer) error
	// Check reads a text as forward.yaml. It applies nothing, and opens nothing
	// that the text names.
	Check  func(text string) SettingsCheck
	Reload func() (Reloaded, error)
}

// Upstream is the state of a route.
type Upstream struct {
	Route   string         `json:"route"` // its prefix
	Name    string         `json:"name"`
	Dialect string         `json:"dialect"`
	Access  string         `json:"access"` // keys, open or client
	Bases   []UpstreamBase `json:"bases"`
	Keys    []UpstreamKey  `json:"api_keys"`
}

// UpstreamBase is the state of a base URL.
type UpstreamBase struct {
	URL   string     `json:"url"` // without a credential
	State string     `json:"state"`
	Since *time.Time `json:"since"` // nil: it never had another state
}

// UpstreamKey is the state of an API key.
type UpstreamKey struct {
	Number int        `json:"number"` // its place in the settings, from 0, as slot in the rows of the ledger
	State  string     `json:"state"`  // ready, resting or rejected
	Until  *time.Time `json:"until"`
	Reason string     `json:"reason"` // of a rest: rate_limit, no_credit or refused
}

// Checked is the outcome of a connect test.
type Checked struct {
	Found   bool          `json:"-"` // whether there is a route of this name
	Wait    time.Duration `json:"-"` // until it may be tested again; 0: it was
	Results []Reached     `json:"results"`
}

// Reached is the outcome for one base URL.
type Reached struct {
	URL   string  `json:"url"`
	OK    bool    `json:"ok"`
	MS    float64 `json:"ms"`
	Error string  `json:"error"`
}

// Setting is a setting as the gateway uses it.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`   // secrets masked
	Source  string `json:"source"`  // default, forward.yaml, .env, environment or flag
	Where   string `json:"where"`   // file and line, or empty
	Restart bool   `json:"restart"` // a change needs a restart
	Fixed   bool   `json:"fixed"`   // it is set above all files, so that no file changes it
	Pending bool   `json:"pending"` // it is written otherwise by now, and waits for a restart
}

// SettingsCheck is what is wrong with a text, and what it would change.
type SettingsCheck struct {
	OK       bool              `json:"ok"`
	Problems []SettingsProblem `json:"problems"`
	Warnings []string          `json:"warnings"`
	Changes  []SettingsChange  `json:"changes"`
}

// SettingsProblem is one thing that is wrong, and what to write instead.
type SettingsProblem struct {
	Line    *int   `json:"line"` // of the text; nil: it is in another source, or about several
	Setting string `json:"setting"`
	Message string `json:"message"`
}

// SettingsChange is a setting that would have another value. Secrets are
// masked.
type SettingsChange struct {
	Name    string `json:"name"`
	Before  string `json:"before"`
	After   string `json:"after"`
	Restart bool   `json:"restart"`
}

// Reloaded is the outcome of a reload: names of settings.
type Reloaded struct {
	Changed  []string `json:"changed"`
	Restart  []string `json:"restart"`
	Warnings []string `json:"warnings"`
}

// gatewayRoutes are those of the administrator alone.
func (s *server) gatewayRoutes() []route {
	list := []route{
		{method: http.MethodGet, pattern: "/_/api/upstreams", ask: s.listUpstreams, needs: has(s.Gateway.Upstreams != nil)},
		{method: http.MethodPost, pattern: "/_/api/upstreams/{route}/check", ask: s.checkUpstream, needs: has(s.Gateway.Check != nil)},
		{method: http.MethodPost, pattern: "/_/api/upstreams/{route}/keys/{number}/wake", ask: s.wakeKey, needs: has(s.Gateway.Wake != nil)},
		{method: http.MethodGet, pattern: "/_/api/cache", ask: s.cacheStats, needs: hasCache},
		{method: http.MethodGet, pattern: "/_/api/cache/entries", ask: s.listEntries, needs: hasCache},
		{method: http.MethodDelete, pattern: "/_/api/cache/entries", ask: s.purgeEntries, needs: hasCache},
		{method: http.MethodGet, pattern: "/_/api/cache/entries/{entry}", ask: s.showEntry, needs: hasCache},
		{method: http.MethodDelete, pattern: "/_/api/cache/entries/{entry}", ask: s.deleteEntry, needs: hasCache},
		{method: http.MethodGet, pattern: "/_/api/settings", ask: s.listSettings, needs: has(s.Gateway.Settings.List != nil)},
		{method: http.MethodGet, pattern: "/_/api/settings/export", ask: s.exportSettings, needs: has(s.Gateway.Settings.Export != nil)},
		{method: http.MethodPost, pattern: "/_/api/settings/check", ask: s.checkSettings, needs: has(s.Gateway.Settings.Check != nil), body: maxSettings},
		{method: http.MethodPost, pattern: "/_/api/reload", ask: s.reload, needs: has(s.Gateway.Settings.Reload != nil)},
		{method: http.MethodGet, pattern: "/_/api/prices/{model...}", ask: s.prices, needs: has(s.Gateway.Prices != nil)},
		{method: http.MethodPost, pattern: "/_/api/usage/reprice", ask: s.reprice, needs: hasLedger},
		{method: http.MethodGet, pattern: "/_/api/warnings", ask: s.warnings, needs: hasLedger},
		{method: http.MethodPost, pattern: "/_/api/alerts/test", ask: s.testAlert},
	}
	for i := range list {
		list[i].who = administrators
	}
	return list
}

// has is the need of what the gateway may not have.
func has(it bool) need {
	return func(*server) error {
		if it {
			return nil
		}
		return &problem{status: http.StatusNotFound, code: "not_found", message: "This gateway does not show this."}
	}
}

// nothing reads the empty object that a request without parameters has.
func nothing(r *http.Request) error {
	var none struct{}
	return decode(r, &none)
}
