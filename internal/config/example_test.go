package config_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"forward/internal/config"
)

// Load reads .env and forward.yaml of the working directory, the environment
// and the flags; all mistakes come at once.
func ExampleLoad() {
	old, _ := os.Getwd()
	dir, _ := os.MkdirTemp("", "forward")
	defer os.RemoveAll(dir)
	defer os.Chdir(old)
	os.Chdir(dir)
	os.WriteFile(".env", []byte("OPENAI_API_KEY=sk-example-0123456789\nFORWARD_KEY=fk-team-0123456789\n"), 0o600)

	c, _, err := config.Load(config.Flags{}, []string{"PORT=8080"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Listen.Host, c.Listen.Port, c.Routes[0].BaseURL, len(c.Routes[0].APIKeys), len(c.Access.Keys))

	_, _, err = config.Load(config.Flags{}, []string{"PORT=eighty", "CACHE_MODE=offlin"})
	fmt.Println(err)
	// Output:
	// 127.0.0.1 8080 https://api.openai.com 1 1
	// PORT=eighty (environment): not a whole number in range; write a number from 0 to 65535
	// CACHE_MODE=offlin (environment): not one of the values that are understood; did you mean offline? write normal, refresh, offline
}

var commented = regexp.MustCompile(`(?m)^#\s?([A-Z_]+)=`)

// TestExampleFile keeps .env.example complete and harmless.
func TestExampleFile(t *testing.T) {
	text := read(t, "../../.env.example")
	var documented []string
	for _, m := range commented.FindAllStringSubmatch(text, -1) {
		documented = append(documented, m[1])
	}

	t.Run("an untouched copy starts and changes nothing", func(t *testing.T) {
		dir(t, map[string]string{".env": text})
		c, warnings := mustLoad(t)
		for _, s := range c.Effective() {
			if s.Source != config.Default {
				t.Errorf("%s is set by the untouched file", s.Name)
			}
		}
		if len(warnings) > 0 {
			t.Errorf("warnings: %v", warnings)
		}
	})
	t.Run("it has every setting, and no other", func(t *testing.T) {
		dir(t, nil)
		c, _ := mustLoad(t)
		var settings []string
		for _, s := range c.Effective() {
			settings = append(settings, s.Name)
		}
		slices.Sort(settings)
		slices.Sort(documented)
		if !slices.Equal(settings, documented) {
			t.Errorf("settings:\n%v\n.env.example:\n%v", settings, documented)
		}
	})
	t.Run("every example in it is right", func(t *testing.T) {
		dir(t, map[string]string{".env": commented.ReplaceAllString(text, "$1="), "tls.crt": "", "tls.key": ""})
		c, warnings := mustLoad(t)
		for _, s := range c.Effective() {
			if s.Source != config.DotEnv {
				t.Errorf("%s is not set by its example", s.Name)
			}
		}
		for _, w := range warnings {
			// All examples at once lead one key to several hosts, and give one
			// to a route that uses none.
			if !strings.Contains(w.Message, "not in force in this version") && !strings.Contains(w.Message, "goes to two hosts") && !strings.Contains(w.Message, "its API keys are not used there") {
				t.Errorf("warning: %v", w)
			}
		}
	})
	t.Run("a default that is shown is the default", func(t *testing.T) {
		dir(t, nil)
		c, _ := mustLoad(t)
		for _, s := range c.Effective() {
			switch s.Name {
			case "HOST", "PORT", "CACHE_TTL", "CACHE_MAX_BYTES", "CACHE_MAX_ENTRY_BYTES", "TIMEOUT", "HEADER_TIMEOUT", "STREAM_IDLE_TIMEOUT", "WEBSOCKET_IDLE_TIMEOUT", "SHUTDOWN_DELAY", "SHUTDOWN_TIMEOUT",
				"RETRIES", "LOG_MAX_SIZE", "LOG_MAX_TOTAL", "LOG_MEDIA", "LOG_REPEATS", "LOG_LEVEL", "LOG_FORMAT", "GLOBAL_RATE_LIMIT", "RATE_LIMIT_STRATEGY", "DEFAULT_MAX_TOKENS", "RESERVE_MAX_OUTPUT", "QUEUE_KEEPALIVE", "DATA_DIR":
				if !strings.Contains(text, "# "+s.Name+"="+s.Value+"\n") {
					t.Errorf("%s: the example is not the default %s", s.Name, s.Value)
				}
			}
		}
	})
}
