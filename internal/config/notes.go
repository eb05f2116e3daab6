package config

import (
	"slices"
	"strings"
)

// foreign are names that look like ours and belong to the providers' own SDKs
// and tools; they are never reported.
var foreign = []string{"OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID", "OPENAI_PROJECT", "OPENAI_API_BASE", "OPENAI_API_TYPE",
	"OPENAI_API_VERSION", "OPENAI_MODEL", "OPENAI_ADMIN_KEY", "OPENAI_WEBHOOK_SECRET", "OPENAI_LOG", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_MODEL", "ANTHROPIC_LOG",
	"GEMINI_MODEL", "LOG_PATH", "LOG_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// noteUnknown points out names that were probably meant to be ours. The
// environment is shared, so only a near miss counts there; .env is mostly ours,
// so a name with one of our prefixes counts too.
func (l *loader) noteUnknown(environ []string) {
	names := slices.DeleteFunc(allNames(), func(n string) bool { return len(n) < 8 })
	look := func(name, where string, prefixes ...string) {
		if known(name) || slices.Contains(foreign, name) {
			return
		}
		near := Nearest(name, names)
		switch {
		case near != "":
			l.warnings = append(l.warnings, Warning{name, "no setting has this name, so it is ignored; did you mean " + near + "?", where})
		case slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }):
			l.warnings = append(l.warnings, Warning{name, "no setting has this name, so it is ignored", where})
		}
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		look(name, string(Environment))
	}
	for _, name := range l.dotenv.names() {
		look(name, l.dotenv[name].where, "OPENAI_", "FORWARD_", "CACHE_", "LOG_", "EXTRA_", "REQ_RATE_", "TOKEN_RATE_")
	}
}

// names returns the names of a layer, sorted.
func (l layer) names() []string {
	var out []string
	for name := range l {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// noteIgnored reports which accepted settings have no effect here, and why.
func (l *loader) noteIgnored(f Flags) {
	if f.Workers != nil {
		l.warnings = append(l.warnings, Warning{Name: "--workers", Message: "not needed: one process uses all processors"})
	}
	reasons := ignored()
	for _, name := range keysOf(reasons) {
		for _, values := range l.layers {
			if v, ok := values[name]; ok && !v.empty() {
				l.warnings = append(l.warnings, Warning{v.name, "accepted and not needed: " + reasons[name], v.where})
				break
			}
		}
	}
}
