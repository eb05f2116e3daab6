package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"forward/internal/keys"
)

// sections maps the nested names of openai-forward's YAML and of LLProxy's
// config.json to settings. Names at the top need no entry when they are a
// setting's name in any case.
var sections = map[string]map[string]string{
	"": {"forward": "FORWARD_CONFIG", "timezone": "TZ"},
	"log": {"openai": "LOG_OPENAI", "general": "LOG_GENERAL", "chat": "LOG_CHAT", "dir": "LOG_DIR", "content": "LOG_CONTENT",
		"redact":   "LOG_REDACT",
		"media":    "LOG_MEDIA",
		"repeats":  "LOG_REPEATS",
		"max_size": "LOG_MAX_SIZE", "max_total": "LOG_MAX_TOTAL", "retention": "LOG_RETENTION", "level": "LOG_LEVEL", "format": "LOG_FORMAT"},
	"cache": {"openai": "CACHE_OPENAI", "general": "CACHE_GENERAL", "custom": "CACHE_GENERAL", "routes": "CACHE_ROUTES", "backend": "CACHE_BACKEND",
		"root_path_or_url": "CACHE_ROOT_PATH_OR_URL", "default_request_caching_value": "DEFAULT_REQUEST_CACHING_VALUE",
		"chat_completion": "CACHE_CHAT_COMPLETION", "embedding": "CACHE_EMBEDDING", "ttl": "CACHE_TTL", "max_bytes": "CACHE_MAX_BYTES",
		"max_entry_bytes": "CACHE_MAX_ENTRY_BYTES", "scope": "CACHE_SCOPE", "mode": "CACHE_MODE"},
	"api_key": {"openai_key": "OPENAI_API_KEY_CONFIG", "forward_key": "FORWARD_KEY_CONFIG", "level": "LEVEL_MODELS"},
	"rate_limit": {"global_rate_limit": "GLOBAL_RATE_LIMIT", "strategy": "RATE_LIMIT_STRATEGY", "iter_chunk": "ITER_CHUNK_TYPE",
		"token_rate_limit": "TOKEN_RATE_LIMIT", "req_rate_limit": "REQ_RATE_LIMIT", "req_rate_limit_backend": "REQ_RATE_LIMIT_BACKEND",
		"backend": "REQ_RATE_LIMIT_BACKEND"},
	"app":     {"port": "PORT", "healthport": "app.healthPort"},
	"logging": {"level": "LOG_LEVEL", "type": "LOG_FORMAT"},
}

// fileSettings are the settings of forward.yaml.
type fileSettings struct {
	file     string
	values   layer
	routes   node // `routes`, which are no setting
	problems []Problem
	warnings []Warning
}

// flatten sorts the file's tree into a layer. An unknown name is an error: the
// file holds nothing but settings, so it is a typing mistake.
func flatten(file string, root node) *fileSettings {
	f := &fileSettings{file: file, values: layer{}}
	for _, p := range root.pairs {
		section := strings.ToLower(p.key)
		names := sections[section]
		switch {
		case section == "routes":
			f.routes = p.value
		case section == "features":
			f.members(p, map[string]string{"rate_limiting": "RATE_LIMITING"})
		case section == "rate_limiting":
			f.rateLimiting(p.key, p.value)
		case section != "" && names != nil && p.value.kind == object:
			f.members(p, names)
		case topName(section) != "":
			f.add(p.key, topName(section), p.value)
		case !p.value.empty() || names == nil:
			f.unknown(p.key, p, "", append(allNames(), "forward", "routes", "api_key", "rate_limit", "cache", "log"))
		}
	}
	return f
}

// isLLProxys reports whether a file is LLProxy's config.json: JSON with its
// sections. LLProxy mounts the routes of the file and no others.
func isLLProxys(text []byte, root node) bool {
	_, app := root.get("app")
	_, logging := root.get("logging")
	_, routes := root.get("routes")
	return routes && (app || logging) && json.Valid(text)
}

// members adds the members of a section, whose names stand for settings.
func (f *fileSettings) members(section pair, names map[string]string) {
	for _, p := range section.value.pairs {
		path := section.key + "." + p.key
		switch name, ok := names[strings.ToLower(p.key)]; {
		case !ok:
			f.unknown(path, p, section.key+".", keysOf(names))
		case name == "RATE_LIMITING":
			f.rateLimiting(path, p.value)
		default:
			f.add(path, name, p.value)
		}
	}
}

func (f *fileSettings) add(path, name string, n node) {
	before, twice := f.values[name]
	if twice && !before.empty() {
		f.problems = append(f.problems, Problem{Name: path, Where: f.at(n), Problem: "set again after " + before.where, Fix: "keep one of the two"})
		return
	}
	f.values[name] = value{node: n, name: path, source: File, where: f.at(n)}
}

func (f *fileSettings) at(n node) string { return fmt.Sprintf("%s:%d", f.file, n.line) }

func (f *fileSettings) unknown(path string, p pair, prefix string, candidates []string) {
	f.problems = append(f.problems, unknownName(path, f.at(p.value), prefix, candidates))
}

// topName returns the setting that a lower-case name at the top of the file
// stands for.
func topName(key string) string {
	if name, ok := sections[""][key]; ok {
		return name
	}
	for _, name := range allNames() {
		if strings.EqualFold(name, key) {
			return name
		}
	}
	return ""
}

// plainName is what a misspelt setting looks like, and a key does not.
var plainName = regexp.MustCompile(`^[A-Za-z_. ]{1,60}$`)

// unknownName is the problem of a name at a place. candidates are the names
// that it may stand for, which prefix leads to.
func unknownName(path, where, prefix string, candidates []string) Problem {
	if !plainName.MatchString(path) {
		path = keys.Mask(path) // a key whose line lost its indentation, perhaps
	}
	p := Problem{Name: path, Where: where, Problem: "no setting has this name"}
	last := path[strings.LastIndexByte(path, '.')+1:]
	if near := Nearest(last, candidates); near != "" {
		p.DidYouMean = prefix + strings.ToLower(near)
	} else {
		p.Fix = "remove it, or see .env.example for the names"
	}
	return p
}
