package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"forward/internal/config"
)

// reloader reads the settings anew when it is told to or finds that they changed, and puts them in force in the rooms. Where anything is
// wrong all settings stay as they are. What only a restart can change stays too, and is named, while all else comes in force:
// whoever takes a key away must not find it in use still because somebody has touched PORT as well.
type reloader struct {
	read  readSettings
	rooms *rooms
	log   *slog.Logger

	ctx    context.Context // ends with stop
	end    context.CancelFunc
	beside sync.WaitGroup

	mu     sync.Mutex // held while settings change; guards the rest
	cfg    *config.Config
	warned map[config.Warning]bool
	seen   contents // of the files when they were last read, whatever came of it
}

// reloaded says what a reload did. It holds names of settings, and no values.
type reloaded struct {
	Changed      []string `json:"changed"`
	NeedsRestart []string `json:"needs_restart"`
	Warnings     []string `json:"warnings,omitempty"` // that were not there before
}

// errStopping is why a gateway that drains keeps its settings.
var errStopping = errors.New("the gateway is stopping")

// newReloader returns a reloader of what was read just now. It needs rooms and log before it is used.
func newReloader(cfg *config.Config, warnings []config.Warning, read readSettings) *reloader {
	l := &reloader{read: read, cfg: cfg, warned: map[config.Warning]bool{}, seen: readContents(cfg.Files())}
	l.ctx, l.end = context.WithCancel(context.Background())
	for _, w := range warnings {
		l.warned[w] = true
	}
	return l
}

// reload reads the settings and puts them in force. cause is for the log, which tells of it either way.
func (l *reloader) reload(cause string) (r reloaded, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return r, errStopping
	}
	l.seen = readContents(l.cfg.Files()) // before they are read, so that a change meanwhile is one
	next, warnings, err := l.read(l.cfg)
	var certificate *tls.Certificate
	if err == nil {
		certificate = l.rooms.certificate.Load()
		err = l.rooms.put(next)
	}
	if err != nil {
		l.log.Error("the settings cannot come in force, those from before stay", "cause", cause, "error", err)
		return r, err
	}
	r.Changed, r.NeedsRestart = next.Changed(l.cfg), next.NeedsRestart()
	if !sameCertificate(certificate, l.rooms.certificate.Load()) {
		r.Changed = append(r.Changed, "TLS_CERT") // its content; another path needs a restart
	}
	before := l.warned
	l.cfg, l.warned = next, map[config.Warning]bool{}
	for _, w := range warnings {
		if !before[w] {
			r.Warnings = append(r.Warnings, w.String())
			l.log.Warn(w.String())
		}
		l.warned[w] = true
	}
	for path, sum := range readContents(next.Files()) {
		if _, known := l.seen[path]; !known {
			l.seen[path] = sum
		}
	}
	l.log.Info("settings were read anew", "cause", cause, "changed", strings.Join(r.Changed, ", "), "needs_restart", strings.Join(r.NeedsRestart, ", "))
	return r, nil
}

// stop ends all reloads for good and waits for one that is under way.
func (l *reloader) stop() {
	l.end()
	l.beside.Wait()
	l.mu.Lock() // one that came by the control socket
	defer l.mu.Unlock()
}

// reloadMount is where a reload is asked for on the control socket.
const reloadMount = "/reload"

// controls returns what the control socket answers.
func (l *reloader) controls() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(cacheMount+"/", func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		c := l.rooms.cache
		l.mu.Unlock()
		if c == nil {
			http.NotFound(w, r)
			return
		}
		cacheHandler(c).ServeHTTP(w, r)
	})
	mux.HandleFunc("POST "+reloadMount, func(w http.ResponseWriter, r *http.Request) {
		done, err := l.reload("forward reload")
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
			return
		}
		json.NewEncoder(w).Encode(done)
	})
	return mux
}

// reloadCommand tells the running gateway to read its settings anew.
func reloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Let the running gateway read its settings anew",
		Long: "The gateway reads .env and forward.yaml again and puts them in force without dropping a request; requests under way finish as they began.\n" +
			"If anything is wrong, all settings stay as they were and the exit status is 1. Its environment variables and flags stay what they were at its start.\n" +
			"It finds the gateway by DATA_DIR, which it reads as the gateway does. SIGHUP and a changed file do the same.",
	}
	where := whereSettings(c)
	for _, name := range []string{"host", "port", "workers"} { // mean nothing here
		c.Flags().Lookup(name).Hidden = true
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := dataDir(where())
		if err != nil {
			return err
		}
		done, err := askReload(c.Context(), dir)
		if err != nil {
			return err
		}
		for _, w := range done.Warnings {
			fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
		}
		return done.print(c.OutOrStdout())
	}
	return c
}

func (r *reloaded) print(w io.Writer) error {
	said := "nothing has changed"
	if len(r.Changed) > 0 {
		said = "changed: " + strings.Join(r.Changed, ", ")
	}
	if len(r.NeedsRestart) > 0 {
		said += "\nneeds a restart: " + strings.Join(r.NeedsRestart, ", ")
	}
	_, err := fmt.Fprintln(w, said)
	return err
}

// askReload asks the gateway that runs on dir.
func askReload(ctx context.Context, dir string) (done reloaded, err error) {
	runs, err := controlled(ctx, dir)
	if err != nil {
		return done, err
	}
	if !runs {
		return done, fmt.Errorf("no gateway answers on %s: start one, or give this command the DATA_DIR of the one that runs", filepath.Join(dir, controlName))
	}
	transport := controlTransport(dir)
	defer transport.CloseIdleConnections()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://forward"+reloadMount, nil)
	if err != nil {
		return done, err
	}
	res, err := transport.RoundTrip(q)
	if err != nil {
		return done, fmt.Errorf("asking the gateway: %w", err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		if err := json.NewDecoder(res.Body).Decode(&done); err != nil {
			return done, fmt.Errorf("reading the gateway's answer: %w", err)
		}
		return done, nil
	case http.StatusUnprocessableEntity:
		var said struct{ Error string }
		if err := json.NewDecoder(res.Body).Decode(&said); err != nil {
			return done, fmt.Errorf("reading the gateway's answer: %w", err)
		}
		return done, fmt.Errorf("refused, and all settings stay as they were:\n%s", said.Error)
	}
	return done, fmt.Errorf("the running gateway does not know this command: %s", res.Status)
}
