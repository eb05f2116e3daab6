package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/config"
	"forward/internal/control"
	"forward/internal/reload"
)

// reloadable is a gateway with what reloads its settings.
type reloadable struct {
	*reload.Reloader
	*app
}

// MustReload opens a gateway on a .env that the test writes, in a directory of
// its own.
func MustReload(t *testing.T, env string) (*reloadable, *httptest.Server) {
	t.Helper()
	load(t, env)
	return mustStartReloader(t)
}

// mustStartReloader opens a gateway on the settings of the working directory.
func mustStartReloader(t *testing.T) (*reloadable, *httptest.Server) {
	t.Helper()
	read := func(running *config.Config) (*config.Config, []config.Warning, error) {
		return config.Load(config.Flags{Running: running}, nil)
	}
	cfg, warnings, err := read(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	l := &reloadable{}
	l.Reloader = reload.New(reload.Options{Config: cfg, Warnings: warnings, Read: read, Log: log,
		Propose: func(running *config.Config, text string) *config.Proposal {
			return config.Propose(config.Flags{}, nil, running, text)
		},
		Apply: func(next *config.Config) ([]string, error) { return l.apply(next) }})
	if l.app, err = open(cfg, log); err != nil {
		t.Fatal(err)
	}
	l.app.settings = l.Reloader
	t.Cleanup(func() {
		l.Stop()
		if err := l.app.Close(); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(l.app)
	t.Cleanup(server.Close)
	return l, server
}

func writeEnv(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(".env", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// MustPut writes settings and expects the reload to take them.
func MustPut(t *testing.T, l *reloadable, env string) reload.Result {
	t.Helper()
	writeEnv(t, env)
	done, err := l.Reload("test")
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// ask sends a chat with a forward key and returns the status and the answer.
func ask(t *testing.T, url, key string) (int, string) {
	t.Helper()
	q, err := http.NewRequest("POST", url+"/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(text)
}

// upstreamOf answers every chat.
func upstreamOf(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}))
	t.Cleanup(s.Close)
	return s
}

// Requests run without a pause while keys come and go under them: none of a key
// that stays fails, and one that was taken away is refused at once.
func TestNoRequestFailsByAReload(t *testing.T) {
	up := upstreamOf(t)
	env := func(keys string, rpm int) string {
		return fmt.Sprintf("OPENAI_BASE_URL=%s\nOPENAI_API_KEY=sk-1\nFORWARD_KEY=%s\nREQ_RATE_LIMIT={\"/\":\"%d/minute\"}\n", up.URL, keys, rpm)
	}
	l, server := MustReload(t, env("fk-stays", 1_000_000))
	var stop atomic.Bool
	var asked atomic.Int64
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for !stop.Load() {
				if status, text := ask(t, server.URL, "fk-stays"); status != http.StatusOK {
					t.Errorf("status %d: %s", status, text)
				}
				asked.Add(1)
			}
		})
	}
	for i := range 15 {
		MustPut(t, l, env("fk-stays,fk-guest", 1_000_000+i))
		if status, text := ask(t, server.URL, "fk-guest"); status != http.StatusOK {
			t.Errorf("the key that was added: status %d: %s", status, text)
		}
		MustPut(t, l, env("fk-stays", 1_000_000+i))
		if status, _ := ask(t, server.URL, "fk-guest"); status != http.StatusUnauthorized {
			t.Errorf("the key that was taken away: status %d", status)
		}
	}
	stop.Store(true)
	askers.Wait()
	if asked.Load() == 0 {
		t.Error("no request was sent meanwhile")
	}
}

func TestAReloadReportsWhatChangedAndWhatNeedsARestart(t *testing.T) {
	l, _ := MustReload(t, "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\nPORT=8000\n")
	for _, test := range []struct {
		name, env        string
		changed, restart []string
	}{
		{"nothing", "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\nPORT=8000\n", nil, nil},
		{"a key", "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-2\nPORT=8000\n", []string{"FORWARD_KEY"}, nil},
		{"a port and a route", "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-2\nPORT=8001\nOPENAI_BASE_URL=http://127.0.0.1:9\n", []string{"OPENAI_BASE_URL"}, []string{"PORT"}},
		{"still the port", "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-2\nPORT=8001\nDATA_DIR=/elsewhere\nOPENAI_BASE_URL=http://127.0.0.1:9\n", nil, []string{"PORT", "DATA_DIR"}},
		{"back", "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-2\n", []string{"OPENAI_BASE_URL"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			done := MustPut(t, l, test.env)
			if !slices.Equal(done.Changed, test.changed) || !slices.Equal(done.NeedsRestart, test.restart) {
				t.Errorf("changed %v and needs a restart %v, want %v and %v", done.Changed, done.NeedsRestart, test.changed, test.restart)
			}
			if l.Config().Listen.Port != 8000 || l.Config().DataDir != "./data" {
				t.Errorf("port %d, DATA_DIR %q", l.Config().Listen.Port, l.Config().DataDir)
			}
		})
	}
}

// What is wrong anywhere leaves everything as it was, also in a setting that
// would need a restart.
func TestARefusedReloadChangesNothing(t *testing.T) {
	up := upstreamOf(t)
	good := "OPENAI_BASE_URL=" + up.URL + "\nOPENAI_API_KEY=sk-CANARY0123456789\nFORWARD_KEY=fk-1\n"
	l, server := MustReload(t, good)
	for _, test := range []struct{ env, want string }{
		{"FORWARD_KEY=fk-2\nREQ_RATE_LIMIT={\"/\":\"10/fortnight\"}\n", ".env:2"},
		{good + "PORT=eighty\n", ".env:4"},
		{good + "OPENAI_API_KEY=sk-CANARY0123456789 and more\nFORWARD_KEY=fk-2\n", ".env:4"},
	} {
		writeEnv(t, test.env)
		_, err := l.Reload("test")
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%q: error %v, want one of %s without a key", test.env, err, test.want)
		}
		if status, text := ask(t, server.URL, "fk-1"); status != http.StatusOK {
			t.Errorf("after %q: status %d: %s", test.env, status, text)
		}
		if status, _ := ask(t, server.URL, "fk-2"); status != http.StatusUnauthorized {
			t.Errorf("after %q a key of it is valid: status %d", test.env, status)
		}
	}
}

// A reload gives no caller a fresh window.
func TestLimitsCountOnThroughAReload(t *testing.T) {
	up := upstreamOf(t)
	env := func(more string) string {
		return "OPENAI_BASE_URL=" + up.URL + "\nOPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\n" + more
	}
	l, server := MustReload(t, env("REQ_RATE_LIMIT={\"/\":\"3/hour\"}\nQUOTAS={\"key\":{\"*\":{\"requests_per_day\":5}}}\n"))
	status := func() int { s, _ := ask(t, server.URL, "fk-1"); return s }
	for range 2 {
		if got := status(); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	MustPut(t, l, env("REQ_RATE_LIMIT={\"/\":\"3/hour\"}\nQUOTAS={\"key\":{\"*\":{\"requests_per_day\":5}}}\nOPENAI_API_KEY=sk-2\n"))
	for i, want := range []int{200, 429} {
		if got := status(); got != want {
			t.Errorf("request %d after a reload of something else: status %d, want %d", i+1, got, want)
		}
	}
	MustPut(t, l, env("REQ_RATE_LIMIT={\"/\":\"4/hour\"}\nQUOTAS={\"key\":{\"*\":{\"requests_per_day\":5}}}\n"))
	for i, want := range []int{200, 429} {
		if got := status(); got != want {
			t.Errorf("request %d after the limit was raised by one: status %d, want %d", i+1, got, want)
		}
	}
	MustPut(t, l, env("QUOTAS={\"key\":{\"*\":{\"requests_per_day\":6}}}\n"))
	for i, want := range []int{200, 200, 429} {
		if got := status(); got != want {
			t.Errorf("request %d with a quota alone, with 4 of 6 used: status %d, want %d", i+1, got, want)
		}
	}
}

// A stream that runs finishes at the upstream, with the key and in the chat log
// of before, whatever the settings have become.
func TestRequestsUnderWayFinishByTheSettingsTheyStartedWith(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\"old\"}}]}\n\n")
		w.(http.Flusher).Flush()
		close(started)
		<-finish
		io.WriteString(w, "data: [DONE]\n\n")
	}))
	defer old.Close()
	up := upstreamOf(t)
	l, server := MustReload(t, "OPENAI_BASE_URL="+old.URL+"\nOPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\nLOG_CHAT=true\n")
	ended := make(chan string)
	go func() {
		q, _ := http.NewRequest("POST", server.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[],"stream":true}`))
		q.Header.Set("Authorization", "Bearer fk-1")
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			ended <- err.Error()
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		ended <- fmt.Sprintf("%s %v", text, err)
	}()
	<-started
	MustPut(t, l, "OPENAI_BASE_URL="+up.URL+"\nOPENAI_API_KEY=sk-2\nFORWARD_KEY=fk-2\nTIMEOUT=3s\n")
	if status, text := ask(t, server.URL, "fk-2"); status != http.StatusOK {
		t.Errorf("a new request: status %d: %s", status, text)
	}
	close(finish)
	if got := <-ended; !strings.HasSuffix(got, "data: [DONE]\n\n <nil>") {
		t.Errorf("the stream ended with %q", got)
	}
	server.Close()
	l.chatLog.Close()
	text, err := os.ReadFile(filepath.Join("Log", "openai", "chat", "chat.log"))
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("the chat log holds %q (%v), want the two lines of the stream", text, err)
	}
}

func TestComponentsThatWereClosedAtTheStartOpenByAReload(t *testing.T) {
	up := upstreamOf(t)
	env := "OPENAI_BASE_URL=" + up.URL + "\nOPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\n"
	l, server := MustReload(t, env)
	MustPut(t, l, env+"CACHE_CHAT_COMPLETION=true\nDEFAULT_REQUEST_CACHING_VALUE=true\nLOG_CHAT=true\n")
	ask(t, server.URL, "fk-1")
	ask(t, server.URL, "fk-1")
	if s := l.cache.Load().Stats(); s.Entries+int64(s.Pending) == 0 {
		t.Errorf("nothing is remembered: %+v", s)
	}
	MustPut(t, l, env)
	if o := l.current.Load(); o.Cache != nil || o.ChatLog != nil {
		t.Error("cache and chat log are still used")
	}
}

// Stopping waits for a reload and lets no further one start, so that nothing is
// changed in components that are closed.
func TestNoReloadAfterStop(t *testing.T) {
	l, _ := MustReload(t, "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\n")
	l.Stop()
	if _, err := l.Reload("test"); err != reload.ErrStopping {
		t.Errorf("error %v, want %v", err, reload.ErrStopping)
	}
}

func TestTheCommandReloadAsksTheRunningGateway(t *testing.T) {
	l, _ := MustReload(t, "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\n")
	if _, _, err := execute("reload"); err == nil || !strings.Contains(err.Error(), "no gateway answers on data/control.sock") {
		t.Errorf("without a gateway: error %v", err)
	}
	side, err := control.Listen(l.Config().DataDir, l.controls(l.Reloader))
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	writeEnv(t, "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-2\nPORT=9\n")
	out, _, err := execute("reload")
	if want := "changed: FORWARD_KEY\nneeds a restart: PORT\n"; err != nil || out != want {
		t.Errorf("output %q and error %v, want %q", out, err, want)
	}
	writeEnv(t, "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-2\nRETRIES=many\n")
	if _, _, err := execute("reload"); err == nil || !strings.Contains(err.Error(), "RETRIES=many (.env:3): not a whole number in range; write a number from 0 to 10") {
		t.Errorf("with a wrong file: error %v", err)
	}
}

// A queued request stays queued, and goes by the limits that forward.yaml has
// by then. A bucket that is used up is not full again.
func TestAQueuedRequestStaysQueued(t *testing.T) {
	up := upstreamOf(t)
	put := func(rpm int, more string) {
		t.Helper()
		text := fmt.Sprintf("routes:\n  openai:\n    prefix: /\n    forward: %s\n    keys: [sk-1]\n    models:\n      m: {rpm: %d, maxQueueSize: 10, maxQueueWait: 3600}\n%s", up.URL, rpm, more)
		if err := os.WriteFile("forward.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(t.TempDir())
	put(1, "")
	l, server := mustStartReloader(t)
	if status, text := ask(t, server.URL, ""); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	const n = 3
	ends := make(chan int, n)
	for range n {
		go func() { status, _ := ask(t, server.URL, ""); ends <- status }()
	}
	waiting := func() int {
		if lines := l.current.Load().Scheduler.Report(); len(lines) > 0 {
			return lines[0].Waiting
		}
		return 0
	}
	for end := time.Now().Add(20 * time.Second); waiting() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait, want %d", waiting(), n)
		}
	}
	put(1, "cors_origins: \"https://app.example\"\n")
	if done, err := l.Reload("test"); err != nil || !slices.Equal(done.Changed, []string{"CORS_ORIGINS"}) || waiting() != n {
		t.Errorf("after a reload of something else %d wait, want %d (%+v, %v)", waiting(), n, done, err)
	}
	put(4, "")
	if done, err := l.Reload("test"); err != nil || !slices.Contains(done.Changed, "routes") {
		t.Fatalf("%+v, %v", done, err)
	}
	for range n { // of four a minute one was used
		if status := <-ends; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
}

// MustCertificate writes a certificate of its own authority and its key as PEM.
func MustCertificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// A renewed certificate is served to new connections. One that does not fit its
// key, as in the middle of a renewal, is not.
func TestARenewedCertificateIsServed(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := MustCertificate(t, "old.example")
	write("tls.crt", cert)
	write("tls.key", key)
	write(".env", []byte("TLS_CERT=tls.crt\nTLS_KEY=tls.key\n"))
	l, _ := mustStartReloader(t)
	server := httptest.NewUnstartedServer(l.app)
	server.TLS = l.tlsConfig()
	server.StartTLS()
	defer server.Close()
	served := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{ServerName: "any.example", InsecureSkipVerify: true}) // whose it is, is looked at here
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if files := l.Config().Files(); !slices.Contains(files, "tls.crt") || !slices.Contains(files, "tls.key") {
		t.Errorf("only %v are watched", files)
	}
	cert, key = MustCertificate(t, "new.example")
	write("tls.crt", cert)
	if _, err := l.Reload("test"); err == nil || !strings.Contains(err.Error(), "TLS_KEY=tls.key") || served() != "old.example" {
		t.Errorf("in the middle of a renewal: error %v, and %s is served", err, served())
	}
	write("tls.key", key)
	if done, err := l.Reload("test"); err != nil || !slices.Equal(done.Changed, []string{"TLS_CERT"}) || served() != "new.example" {
		t.Errorf("after it: %+v, %v, and %s is served", done, err, served())
	}
	if done, err := l.Reload("test"); err != nil || done.Changed != nil {
		t.Errorf("once more: %+v, %v", done, err)
	}
}
