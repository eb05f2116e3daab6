package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"forward/internal/upstream"
)

// check holds the rules that need more than one setting.
func (l *loader) check() {
	l.checkAccess()
	l.checkKeyHosts()
	l.checkClient()
	l.checkKeyRoles()
	l.checkObjects()
	l.checkLevels()
	l.checkBudgets()
	l.checkLoop()
	l.checkTLS()
	if l.cfg.Location == nil {
		l.cfg.Location = time.Local
	}
}

// checkAccess keeps a gateway that spends API keys from being open to the world
// by accident.
func (l *loader) checkAccess() {
	withKeys := slices.ContainsFunc(l.cfg.Routes, func(r Route) bool { return len(r.APIKeys) > 0 && !r.Client })
	client := slices.ContainsFunc(l.cfg.Routes, func(r Route) bool { return r.Client })
	// A FORWARD_KEY that was written and not understood is reported already;
	// one that holds no key, as ", ," does, is none.
	misread := slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Name == l.chosen["FORWARD_KEY"].name })
	managed := func() bool { return withKeys && l.managedKeys != nil && l.managedKeys(l.cfg.DataDir) }
	withForward := len(l.cfg.Access.Keys) > 0 || misread || managed()
	v := value{name: "FORWARD_KEY"}
	switch {
	case withKeys && !withForward && loopback(l.cfg.Listen.Host):
		l.warn(v, "not set, so every program on this machine can use your API keys without a key")
	case withKeys && !withForward && l.cfg.Access.Open:
		l.warn(v, "not set and OPEN_ACCESS=true, so every client that reaches "+l.cfg.Listen.Host+" can spend your API keys")
	case withKeys && !withForward:
		l.problems = append(l.problems, Problem{Name: "FORWARD_KEY", Problem: "API keys are configured but no forward keys, and " + l.cfg.Listen.Host + " is not a loopback address: every client could spend them",
			Fix: "set FORWARD_KEY=fk-…, make a key by forward keys add NAME, or set HOST=127.0.0.1, or OPEN_ACCESS=true if that is meant"})
	case withForward && !withKeys && !client && !l.cfg.Access.Passthrough && !l.cfg.Access.ExtraAuth:
		l.warn(l.chosen["FORWARD_KEY"], "forward keys but no API key to swap them for: requests will be refused until OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY is set")
	}
}

// checkKeyHosts warns where routes send one API key to several hosts: each of
// them can use it at the others. The base URLs of one route are the same API.
func (l *loader) checkKeyHosts() {
	type place struct{ prefix, host string }
	first := map[string]place{} // by key
	warned := map[string]bool{} // by host
	for _, r := range l.cfg.Routes {
		host := r.BaseURL.Host
		for _, k := range r.APIKeys {
			before, seen := first[k.Secret.Reveal()]
			if !seen {
				first[k.Secret.Reveal()] = place{r.Prefix, host}
			}
			if !seen || before.host == host || warned[host] {
				continue
			}
			warned[host] = true
			l.warn(l.chosen[r.setting], fmt.Sprintf("the API key %v goes to two hosts: to %s on %s, and to %s on %s; give the route a key of its own (routes.NAME.keys in forward.yaml) unless both are meant to have it",
				k.Secret, before.host, before.prefix, host, r.Prefix))
		}
	}
}

// checkBudgets warns where nothing counts what budgets of tags limit.
func (l *loader) checkBudgets() {
	if len(l.cfg.Limits.Budgets) > 0 && !l.cfg.Ledger.On {
		l.warn(l.chosen["BUDGETS"], "LEDGER=false keeps no account, so requests with these tags are refused: set LEDGER=true, or take the budgets away")
	}
}

// checkClient warns about API keys that are never used.
func (l *loader) checkClient() {
	for _, r := range l.cfg.Routes {
		if r.Client && len(r.APIKeys) > 0 {
			l.warn(l.chosen[r.setting], fmt.Sprintf("%s is for the clients' own credentials, so its API keys are not used there", r.Prefix))
		}
	}
}

// checkKeyRoles warns where one key has two roles, so that its holders have
// what was to stay here.
func (l *loader) checkKeyRoles() {
	v := l.chosen["FORWARD_KEY"]
	for _, k := range l.cfg.Access.Keys {
		own := k.Secret.Reveal()
		for _, r := range l.cfg.Routes {
			if slices.ContainsFunc(r.APIKeys, func(api upstream.APIKey) bool { return api.Secret.Is(own) }) {
				l.warn(v, fmt.Sprintf("the forward key %v is the API key of %s too, so those who have it can use the provider without the gateway; write another forward key, such as fk-…", k.Secret, r.Prefix))
				break
			}
		}
		if l.cfg.Access.AdminKey.Is(own) {
			l.warn(v, fmt.Sprintf("the forward key %v is ADMIN_KEY too, so its holders see what all others use; write two keys", k.Secret))
		}
	}
}

// checkObjects warns where OBJECTS separates callers that the gateway does not
// know apart.
func (l *loader) checkObjects() {
	if l.cfg.Access.Objects == "own" && len(l.cfg.Access.Keys) == 0 && (l.managedKeys == nil || !l.managedKeys(l.cfg.DataDir)) {
		l.warn(l.chosen["OBJECTS"], "there are no forward keys, so every caller may use all objects; set FORWARD_KEY=fk-… or make a key by forward keys add NAME")
	}
}

// loopback reports whether only this machine can reach the address. A host name
// is not resolved: what it means may change.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return (err == nil && a.Unmap().IsLoopback()) || strings.EqualFold(host, "localhost")
}

// checkLevels warns about forward keys that can do nothing.
func (l *loader) checkLevels() {
	var levels []int
	for _, k := range l.cfg.Access.Keys {
		if !slices.Contains(levels, k.Level) {
			levels = append(levels, k.Level)
		}
	}
	v := l.chosen["FORWARD_KEY"]
	for _, level := range levels {
		if _, ok := l.cfg.Access.Levels[level]; !ok && level != 0 {
			l.warn(v, fmt.Sprintf("keys of level %d may use no model; name them in LEVEL_MODELS={\"%d\": [\"gpt-4o*\"]}", level, level))
		}
		for _, r := range l.cfg.Routes {
			serves := func(k upstream.APIKey) bool { return k.Levels == nil || slices.Contains(k.Levels, level) }
			if len(r.APIKeys) > 0 && !slices.ContainsFunc(r.APIKeys, serves) {
				l.warn(v, fmt.Sprintf("no API key of %s serves level %d", r.Prefix, level))
			}
		}
	}
}

// checkLoop catches a base URL that is the gateway itself: the SDKs read
// OPENAI_BASE_URL too, so a shell that points its programs at forward points
// forward at forward.
func (l *loader) checkLoop() {
	for _, r := range l.cfg.Routes {
		for _, base := range append([]*url.URL{r.BaseURL}, r.Also...) {
			l.checkNotSelf(r, base)
		}
	}
}

func (l *loader) checkNotSelf(r Route, base *url.URL) {
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	host := base.Hostname()
	listen, err := netip.ParseAddr(l.cfg.Listen.Host)
	onLoopback := loopback(l.cfg.Listen.Host) || (err == nil && listen.IsUnspecified())
	self := strings.EqualFold(host, l.cfg.Listen.Host) || (onLoopback && loopback(host))
	if self && port == fmt.Sprint(l.cfg.Listen.Port) {
		l.failAt(r.setting, fmt.Sprintf("%s is this gateway itself, so every request on %s would run in a circle", net.JoinHostPort(host, port), r.Prefix),
			"write the provider's address, or another PORT")
	}
}

func (l *loader) checkTLS() {
	if (l.cfg.Listen.TLSCert == "") != (l.cfg.Listen.TLSKey == "") {
		l.problems = append(l.problems, Problem{Name: "TLS_CERT", Problem: "TLS needs a certificate and a key, and only one is set", Fix: "set TLS_CERT and TLS_KEY, or neither"})
	}
	for _, file := range []struct{ name, path string }{{"TLS_CERT", l.cfg.Listen.TLSCert}, {"TLS_KEY", l.cfg.Listen.TLSKey}} {
		if file.path == "" || l.closed(l.chosen[file.name]) {
			continue
		}
		l.cfg.files = append(l.cfg.files, file.path)
		if _, err := os.Stat(file.path); err != nil {
			l.failAt(file.name, "the file cannot be read: "+cause(err), "write the path of a PEM file")
		}
	}
}
