package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// gateway is one way to the upstream.
type gateway struct {
	name    string
	note    string // how it is set up
	headers map[string]string
	fields  string                             // further fields of the bodies it is sent
	program func(*lab) (string, error)         // its binary; an error is why it is missing
	version func(*lab, string) (string, error) // of the binary
	command func(*lab, *site) error            // returns how to run it
	static  string                             // path of a file that it serves by itself
	must    bool                               // it is an error in CI if it is missing
	slow    bool                               // it takes so long per request that it is not part of short runs
	size    func(*lab, string) (int64, error)  // bytes that must be installed for it; by default its binary's
}

// site is where a gateway runs: what its command is made from, and what is made
// of it.
type site struct {
	dir, address, upstream string
	binary                 string
	command, env           []string
	headers                map[string]string // which requests need besides gateway.headers
}

// gateways are all that are measured, in the order of the tables.
func gateways() []*gateway {
	return []*gateway{
		{name: "direct", note: "the client talks to the upstream"},
		{name: "nginx", note: "a worker for each core, keepalive upstream, proxy_buffering off, no access log; Debian's package",
			program: lookPath("nginx"), version: printed("-v"), command: nginx, static: "/answer.json", must: true},
		{name: "HAProxy", note: "HTTP mode, http-reuse always, http-no-delay, no log; Debian's package",
			program: lookPath("haproxy"), version: printed("-v"), command: haproxy, must: true},
		{name: "Caddy", note: "reverse_proxy with flush_interval -1 and buffer_requests, without which it cuts off one answer in some hundreds, no access log; Debian's package",
			program: lookPath("caddy"), version: printed("version"), command: caddy, slow: true},
		{name: bareName, note: "gin and httputil.ReverseProxy with a buffer pool and 512 idle connections, bench/bare",
			program: func(l *lab) (string, error) { return l.bare, nil }, version: ginVersion, command: bare},
		{name: "Portkey", note: "@portkey-ai/gateway from npm, run by node, x-portkey-custom-host",
			headers: map[string]string{"Authorization": "Bearer sk-bench", "x-portkey-provider": "openai"},
			program: portkeyProgram, version: portkeyVersion, command: portkey, slow: true, size: portkeySize},
		{name: offName, note: "a proxy and nothing else: LEDGER=false, LOG_LEVEL=warn, no key, no limit, no cache",
			headers: map[string]string{"Authorization": "Bearer sk-bench"},
			program: forwardProgram, version: func(l *lab, _ string) (string, error) { return l.commit, nil }, command: forwardOff},
		{name: onName, note: "everything: a managed key with budget, rpm and tpm, an API key swapped in, request limits, quotas, the queue of a model's rpm and tpm, " +
			"exact token counts, ledger, prices, metrics, chat log of whole texts, access log; each request is looked up in the cache and not found, and its answer is one that no cache keeps",
			fields: `"caching":true,`, program: forwardProgram, version: func(l *lab, _ string) (string, error) { return l.commit, nil }, command: forwardOn},
	}
}

const (
	bareName = "gin + ReverseProxy"
	offName  = "forward, all off"
	onName   = "forward, all on"
)

func lookPath(name string) func(*lab) (string, error) {
	return func(*lab) (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("%s is not installed (Debian: apt-get install %s)", name, name)
		}
		return path, nil
	}
}

// write puts a file beside the gateway.
func (s *site) write(name, text string) error {
	return os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644)
}

func nginx(l *lab, s *site) error {
	s.command = []string{s.binary, "-c", filepath.Join(s.dir, "nginx.conf"), "-e", filepath.Join(s.dir, "error.log")}
	if err := s.write("answer.json", l.cached); err != nil {
		return err
	}
	return s.write("nginx.conf", strings.NewReplacer("DIR", s.dir, "LISTEN", s.address, "UPSTREAM", s.upstream, "CONNECTIONS", fmt.Sprint(l.descriptors)).Replace(`
worker_processes auto;
daemon off;
pid DIR/pid;
error_log DIR/error.log;
events { worker_connections CONNECTIONS; }
http {
	access_log off;
	sendfile on;
	tcp_nodelay on;
	keepalive_requests 1000000000;
	keepalive_timeout 600s;
	default_type application/json;
	client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
	upstream provider { server UPSTREAM; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 600s; }
	server {
		listen LISTEN backlog=4096;
		root DIR;
		location /v1/ {
			proxy_pass http://provider;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_buffering off;
			proxy_read_timeout 600s;
		}
	}
}
`))
}

func haproxy(l *lab, s *site) error {
	s.command = []string{s.binary, "-db", "-f", filepath.Join(s.dir, "haproxy.cfg")}
	return s.write("haproxy.cfg", fmt.Sprintf(`
global
	maxconn %d
defaults
	mode http
	timeout connect 10s
	timeout client 600s
	timeout server 600s
	option http-keep-alive
	option http-no-delay
	http-reuse always
frontend clients
	bind %s backlog 4096
	default_backend provider
backend provider
	server provider %s
`, (l.descriptors-150)/2, s.address, s.upstream))
}

func caddy(_ *lab, s *site) error {
	s.command = []string{s.binary, "run", "--config", filepath.Join(s.dir, "Caddyfile"), "--adapter", "caddyfile"}
	return s.write("Caddyfile", fmt.Sprintf(`
{
	admin off
	auto_https off
}
http://%s {
	bind 127.0.0.1
	reverse_proxy %s {
		flush_interval -1
		buffer_requests
		transport http {
			keepalive_idle_conns_per_host 512
			compression off
		}
	}
}
`, s.address, s.upstream))
}

func bare(_ *lab, s *site) error {
	s.command = []string{s.binary, "-listen", s.address, "-upstream", "http://" + s.upstream}
	return nil
}

// portkeyDir has the lock file by which npm installs it.
func (l *lab) portkeyDir() string { return filepath.Join(l.root, "bench", "portkey") }

func (l *lab) portkeyScript() string {
	return filepath.Join(l.portkeyDir(), "node_modules", "@portkey-ai", "gateway", "build", "start-server.js")
}

// portkeyProgram installs what the lock file names, once.
func portkeyProgram(l *lab) (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("node is not installed")
	}
	if _, err := os.Stat(l.portkeyScript()); err == nil {
		return node, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	c.Dir = l.portkeyDir()
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return node, nil
}

func portkey(l *lab, s *site) error {
	_, port, _ := strings.Cut(s.address, ":")
	s.command = []string{s.binary, l.portkeyScript(), "--port=" + port, "--headless"}
	s.env = []string{"NODE_ENV=production", "TRUSTED_CUSTOM_HOSTS=127.0.0.1,localhost"}
	s.headers = map[string]string{"x-portkey-custom-host": "http://" + s.upstream + "/v1"}
	return nil
}

func portkeySize(l *lab, node string) (int64, error) {
	sum, err := fileSize(l, node)
	if err != nil {
		return 0, err
	}
	err = filepath.WalkDir(filepath.Join(l.portkeyDir(), "node_modules"), func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

func fileSize(_ *lab, path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func forwardProgram(l *lab) (string, error) { return l.forward, nil }

func forwardOff(_ *lab, s *site) error {
	_, port, _ := strings.Cut(s.address, ":")
	s.command = []string{s.binary, "run"}
	s.env = []string{"PORT=" + port, "OPENAI_BASE_URL=http://" + s.upstream, "LEDGER=false", "LOG_LEVEL=warn"}
	return nil
}

// forwardOn makes a managed key first, by the command that an operator uses.
func forwardOn(_ *lab, s *site) error {
	_, port, _ := strings.Cut(s.address, ":")
	s.command = []string{s.binary, "run"}
	s.env = []string{
		"PORT=" + port, "DATA_DIR=data", "LOG_DIR=Log", "ADMIN_KEY=admin-of-the-bench",
		"CACHE_CHAT_COMPLETION=true", "LOG_CHAT=true", "LOG_CONTENT=full",
		`QUOTAS={"key": {"*": {"requests_per_minute": 100000000, "tokens_per_day": 1000000000000}}}`,
		`REQ_RATE_LIMIT={"/v1/chat/completions": "100000000/minute"}`,
	}
	err := s.write("forward.yaml", fmt.Sprintf(`
routes:
  openai:
    forward: [http://%s]
    provider: openai
    prefix: /
    keys: [sk-bench]
    models:
      "*": {rpm: 100000000, tpm: 1000000000000, maxQueueSize: 100000, maxQueueWait: 60}
`, s.upstream))
	if err != nil {
		return err
	}
	add := exec.Command(s.binary, "keys", "add", "bench", "--models", "gpt-*", "--rpm", "100000000", "--tpm", "1000000000000", "--parallel", "100000",
		"--budget", "1000000usd/month")
	add.Dir, add.Env = s.dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}, s.env...)
	var stderr strings.Builder
	add.Stderr = &stderr
	key, err := add.Output()
	if err != nil {
		return fmt.Errorf("forward keys add: %w: %s", err, stderr.String())
	}
	s.headers = map[string]string{"Authorization": "Bearer " + strings.TrimSpace(string(key))}
	return nil
}

var versionText = regexp.MustCompile(`v?\d+\.\d+[\w.+~-]*`)

// printed returns the function that runs a program for its version.
func printed(args ...string) func(*lab, string) (string, error) {
	return func(l *lab, binary string) (string, error) {
		c := exec.Command(binary, args...)
		c.Dir = l.root
		out, err := c.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(binary), strings.Join(args, " "), err, out)
		}
		if found := versionText.Find(out); found != nil {
			return string(found), nil
		}
		return strings.TrimSpace(string(out)), nil
	}
}

// ginVersion is that in go.mod.
func ginVersion(l *lab, _ string) (string, error) {
	return printed("list", "-m", "github.com/gin-gonic/gin")(l, "go")
}

// portkeyVersion names node's too.
func portkeyVersion(l *lab, node string) (string, error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(l.portkeyScript()), "..", "package.json"))
	if err != nil {
		return "", err
	}
	var module struct{ Version string }
	if err := json.Unmarshal(text, &module); err != nil {
		return "", err
	}
	version, err := printed("--version")(l, node)
	return module.Version + " with node " + version, err
}
