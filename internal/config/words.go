package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"forward/internal/dialects"
	"forward/internal/forward"
	"forward/internal/keys"
)

// host accepts an address or a name without scheme and port.
func host(l *loader, v value) (string, error) {
	h := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(v.text), "["), "]")
	if strings.ContainsAny(h, "/ \t@") || strings.Count(h, ":") == 1 {
		return "", bad("not an address to listen on", "write an address without scheme and port, such as 127.0.0.1 or 0.0.0.0; the port is PORT")
	}
	l.cfg.Listen.Host = h
	return h, nil
}

func extraAuth(l *loader, v value) (string, error) {
	word, err := choose(v.text, "open", "key")
	l.cfg.Access.ExtraAuth = word == "key"
	return word, err
}

// origins accepts "*" or exact origins as browsers send them: scheme, host and
// port, nothing else.
func origins(l *loader, v value) (string, error) {
	items, err := v.split()
	for _, item := range items {
		u, wrong := url.Parse(item)
		if item != "*" && (wrong != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil) {
			return "", bad(fmt.Sprintf("%q is not an origin", shorten(hideSecrets(item))), "write * or origins such as https://chat.example.com, without a path")
		}
	}
	l.cfg.Access.CORSOrigins = items
	return strings.Join(items, ", "), err
}

// dashboardAddr reads an address with a port, as net.Listen takes it.
func dashboardAddr(l *loader, v value) (string, error) {
	text := strings.TrimSpace(v.text)
	if text == "" {
		return "", nil
	}
	_, port, err := net.SplitHostPort(text)
	if n, wrong := strconv.Atoi(port); err != nil || wrong != nil || n < 0 || n > 65535 {
		return "", bad("not an address with a port", "write an address to listen on and a port, such as 127.0.0.1:8001")
	}
	l.cfg.Dashboard.Addr = text
	return text, nil
}

// dashboardHosts reads names as they are in the Host header, without a port.
func dashboardHosts(l *loader, v value) (string, error) {
	items, err := v.split()
	for i, item := range items {
		if item != "*" && strings.ContainsAny(item, "/:@* \t") {
			return "", bad(fmt.Sprintf("%q is not the name of a host", shorten(hideSecrets(item))), "write names such as llm.example.com, without scheme and port, or * for all")
		}
		items[i] = strings.ToLower(strings.TrimSuffix(item, "."))
	}
	l.cfg.Dashboard.Hosts = items
	return strings.Join(items, ", "), err
}

func cacheRoutes(l *loader, v value) (string, error) {
	items, err := v.split()
	for _, item := range items {
		if !strings.HasPrefix(item, "/") {
			return "", bad(fmt.Sprintf("%q is not a path", shorten(item)), "write paths below the route prefix, such as /v1/embeddings")
		}
	}
	l.cfg.Cache.Routes = items
	return strings.Join(items, ", "), err
}

// redisURL checks the form of a Redis address.
func redisURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "redis" || u.Scheme == "rediss" || u.Scheme == "unix") && u.Host+u.Path != ""
}

func rateBackend(l *loader, v value) (string, error) {
	s := strings.TrimSpace(v.text)
	switch {
	case strings.EqualFold(s, "memory"), strings.EqualFold(s, "memory://"):
		l.cfg.Limits.Backend = "memory"
		return "memory", nil
	case redisURL(s):
		l.cfg.Limits.Backend = s
		return s, nil
	}
	return "", bad("not a place that limits can be counted in", "write memory or redis://host:6379")
}

// cacheBackend accepts the databases of openai-forward; each of them means "on
// disk", which is Badger here.
func cacheBackend(l *loader, v value) (string, error) {
	s := strings.TrimSpace(v.text)
	if redisURL(s) {
		l.cfg.Cache.Backend = s
		return s, nil
	}
	word, err := choose(s, "MEMORY", "BADGER", "LMDB", "LEVELDB", "ROCKSDB")
	if err != nil {
		return "", bad("not a place that answers can be kept in", "write BADGER (on disk), MEMORY or redis://host:6379")
	}
	l.cfg.Cache.Backend = "BADGER"
	if word == "MEMORY" {
		l.cfg.Cache.Backend = word
	}
	return l.cfg.Cache.Backend, nil
}

// cacheDir accepts a directory. openai-forward also took the address of a
// flaxkv server, which nothing here speaks.
func cacheDir(l *loader, v value) (string, error) {
	dir := strings.TrimSpace(v.text)
	if strings.Contains(dir, "://") {
		l.warn(v, "a cache server is not supported, so the cache is kept in DATA_DIR/cache; write a directory, or CACHE_BACKEND=redis://…")
		dir = ""
	}
	l.cfg.Cache.Dir = dir
	return dir, nil
}

// finishDirs derives the cache directory, which needs DATA_DIR, and shows it.
func (l *loader) finishDirs() {
	if l.cfg.Cache.Dir == "" {
		l.cfg.Cache.Dir = filepath.Join(l.cfg.DataDir, "cache")
	}
	for i := range l.cfg.settings {
		if s := &l.cfg.settings[i]; s.Name == "CACHE_ROOT_PATH_OR_URL" {
			s.Value = hideSecrets(l.cfg.Cache.Dir)
		}
	}
}

// logLevel accepts the words of slog, zap (LLProxy) and Python.
func logLevel(l *loader, v value) (string, error) {
	word, err := choose(v.text, "debug", "info", "warn", "error", "trace", "warning", "dpanic", "panic", "fatal", "critical")
	switch word {
	case "":
		return "", bad("not a log level", "write debug, info, warn or error")
	case "trace":
		word = "debug"
	case "warning":
		word = "warn"
	case "dpanic", "panic", "fatal", "critical":
		word = "error"
	}
	l.cfg.Log.Level = word
	return word, err
}

func logFormat(l *loader, v value) (string, error) {
	word, err := choose(v.text, "text", "json", "console")
	if word == "console" {
		word = "text"
	}
	if err != nil {
		return "", bad("not a log format", "write text or json")
	}
	l.cfg.Log.Format = word
	return word, nil
}

func logMedia(l *loader, v value) (string, error) {
	word, err := choose(v.text, "digest", "keep")
	l.cfg.Log.KeepMedia = word == "keep"
	return word, err
}

func logRepeats(l *loader, v value) (string, error) {
	word, err := choose(v.text, "refer", "keep")
	l.cfg.Log.KeepRepeats = word == "keep"
	return word, err
}

func proxy(l *loader, v value) (string, error) {
	s := strings.TrimSpace(v.text)
	switch strings.ToLower(s) {
	case "none", "off", "direct":
		return "none", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", bad("not the address of a proxy", "write http://host:port or socks5://host:port")
	}
	switch u.Scheme {
	case "socks5h":
		u.Scheme = "socks5" // the name is always resolved by the proxy
	case "http", "https", "socks5":
	default:
		return "", bad("a proxy of this kind is not supported", "write http://host:port or socks5://host:port")
	}
	l.cfg.Upstream.Proxy = u
	return u.String(), nil
}

func retryStatus(l *loader, v value) (string, error) {
	items, err := v.split()
	for _, item := range items {
		code, wrong := strconv.Atoi(item)
		if wrong != nil || code < 500 || code > 599 {
			return "", bad(fmt.Sprintf("%q is not a status that can be retried", shorten(item)), "write 5xx codes such as 502, 503; 429 is always tried with another key")
		}
		l.cfg.Upstream.RetryStatus = append(l.cfg.Upstream.RetryStatus, code)
	}
	return strings.Join(items, ", "), err
}

// location loads TZ; a leading colon is POSIX for "a name of the database".
func location(l *loader, v value) (string, error) {
	name := strings.TrimPrefix(strings.TrimSpace(v.text), ":")
	loc, err := time.LoadLocation(name)
	if err != nil {
		return "", bad("not a time zone", "write a name of the IANA database such as Europe/Berlin or UTC")
	}
	l.cfg.Location = loc
	return name, nil
}

func fallbacks(l *loader, v value) (string, error) {
	const fix = `write {"gpt-4o*": ["gpt-4o-mini"]}`
	if v.kind != object {
		return "", bad("a JSON object was expected", fix)
	}
	for _, p := range v.pairs {
		instead := []string{p.value.text}
		if p.value.kind == list {
			instead = p.value.texts()
		}
		if strings.TrimSpace(p.key) == "" || len(instead) == 0 || slices.ContainsFunc(instead, func(s string) bool { return s == "" || strings.ContainsAny(s, "*?[") }) {
			return "", bad(fmt.Sprintf("the entry %q does not name the models to ask instead", shorten(p.key)), fix)
		}
		l.cfg.Fallbacks = append(l.cfg.Fallbacks, forward.Fallback{Models: p.key, Instead: instead})
	}
	return "", nil
}

// aliases reads {"alias": "model"}.
func aliases(l *loader, v value) (string, error) {
	const fix = `write {"fast": "gpt-4o-mini"}`
	if v.kind != object {
		return "", bad("a JSON object was expected", fix)
	}
	all, err := aliasMap(v.node)
	if err != nil {
		return "", err
	}
	wrong := keys.CheckAliases(all)
	if wrong != nil {
		return "", bad(wrong.Error(), fix)
	}
	l.cfg.Aliases = all
	return "", nil
}

// aliasMap reads the object of aliases.
func aliasMap(n node) (map[string]string, error) {
	all := map[string]string{}
	for _, p := range n.pairs {
		if p.value.kind != scalar {
			return nil, bad(fmt.Sprintf("the alias %q is not of one model", shorten(p.key)), `write {"fast": "gpt-4o-mini"}`)
		}
		all[strings.TrimSpace(p.key)] = strings.TrimSpace(p.value.text)
	}
	return all, nil
}

// modelRoutes reads {"model glob": "/prefix"}, also by dialect: {"anthropic":
// {"model glob": "/prefix"}}, whose entries come first. Whether the prefix is
// mounted is checked when the routes are known.
func modelRoutes(l *loader, v value) (string, error) {
	const fix = `write {"llama-*": "/local"}, or by protocol {"anthropic": {"*": "/deepseek-anthropic"}}`
	if v.kind != object {
		return "", bad("a JSON object was expected", fix)
	}
	var plain []ModelRoute
	for _, p := range v.pairs {
		if p.value.kind != object {
			m, err := modelRoute(p, fix)
			if err != nil {
				return "", err
			}
			plain = append(plain, m)
			continue
		}
		d, ok := dialects.ByName(strings.ToLower(strings.TrimSpace(p.key)))
		if !ok {
			_, names := kinds()
			return "", bad(fmt.Sprintf("the entry %q has models of its own, and is no protocol (%s)", shorten(p.key), strings.TrimSuffix(names, " or "+general)), fix)
		}
		for _, inner := range p.value.pairs {
			m, err := modelRoute(inner, fix)
			if err != nil {
				return "", err
			}
			m.Dialect = d
			l.cfg.ModelRoutes = append(l.cfg.ModelRoutes, m)
		}
	}
	l.cfg.ModelRoutes = append(l.cfg.ModelRoutes, plain...)
	return "", nil
}

func modelRoute(p pair, fix string) (ModelRoute, error) {
	if p.value.kind != scalar || p.value.empty() || strings.TrimSpace(p.key) == "" {
		return ModelRoute{}, bad(fmt.Sprintf("the entry %q names no route", shorten(p.key)), fix)
	}
	return ModelRoute{Model: p.key, Prefix: cleanPrefix(p.value.text)}, nil
}
