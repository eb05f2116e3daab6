// Package reload reads the settings of a running gateway again and applies them
// without dropping a request.
//
// A reload happens when a file of the settings changes, on SIGHUP and on
// request of `forward reload`; the three differ in the cause that the log
// names. Settings are applied all or not at all: where anything is wrong, the
// current ones stay. Settings that only a restart can change also stay, and are
// named, while all others are applied: a key that was removed must not remain
// valid because PORT was edited too.
//
// Files are watched by reading them, see watch.go.
package reload

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"forward/internal/config"
)

// Options are what a Reloader works on. All fields but Warnings and Propose are
// required.
type Options struct {
	Config   *config.Config   // the current settings
	Warnings []config.Warning // that were shown when they were read

	// Read reads the settings beside those of the running gateway.
	Read func(running *config.Config) (*config.Config, []config.Warning, error)
	// Propose reads a text in the place of forward.yaml, and applies nothing;
	// nil where no text is proposed.
	Propose func(running *config.Config, text string) *config.Proposal
	// Apply switches to new settings, or fails and changes nothing. It returns
	// the settings that changed although their text did not: a file whose path
	// stays may have other content.
	Apply func(next *config.Config) (changed []string, err error)

	Log *slog.Logger
}

// Result is the outcome of a reload. It holds names of settings and no values.
type Result struct {
	Changed      []string `json:"changed"`
	NeedsRestart []string `json:"needs_restart"`
	Warnings     []string `json:"warnings,omitempty"` // that were not there before
}

// ErrStopping is returned by Reload after Stop.
var ErrStopping = errors.New("the gateway is stopping")

// Reloader reloads settings, one reload at a time. New makes one; it is safe
// for concurrent use, and Stop ends it.
type Reloader struct {
	o      Options
	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	watch  sync.WaitGroup

	mu     sync.Mutex // held during a reload; guards the rest
	cfg    *config.Config
	warned map[config.Warning]bool
	seen   contents // of the files when they were last read, whatever came of it
}

// New returns a Reloader of settings that were just read: a file that changes
// from now on has changed.
func New(o Options) *Reloader {
	l := &Reloader{o: o, cfg: o.Config, warned: map[config.Warning]bool{}, seen: readContents(o.Config.Files())}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for _, w := range o.Warnings {
		l.warned[w] = true
	}
	return l
}

// Config returns the current settings.
func (l *Reloader) Config() *config.Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg
}

// Reload reads the settings and applies them. The log reports the outcome with
// the cause.
func (l *Reloader) Reload(cause string) (Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return Result{}, ErrStopping
	}
	l.seen = readContents(l.cfg.Files()) // first, so that a change during the reload is one for the next
	next, warnings, err := l.o.Read(l.cfg)
	var changed []string
	if err == nil {
		changed, err = l.o.Apply(next)
	}
	if err != nil {
		l.o.Log.Error("the new settings cannot be applied, the previous ones stay", "cause", cause, "error", err)
		return Result{}, err
	}
	r := Result{Changed: append(next.Changed(l.cfg), changed...), NeedsRestart: next.NeedsRestart(), Warnings: l.warn(warnings)}
	l.cfg = next
	for path, sum := range readContents(next.Files()) {
		if _, known := l.seen[path]; !known {
			l.seen[path] = sum
		}
	}
	l.o.Log.Info("settings were read again", "cause", cause, "changed", strings.Join(r.Changed, ", "), "needs_restart", strings.Join(r.NeedsRestart, ", "))
	return r, nil
}

// Propose reports what is wrong with a text in the place of forward.yaml, and
// what it would change.
func (l *Reloader) Propose(text string) *config.Proposal {
	return l.o.Propose(l.Config(), text)
}

// warn logs and returns the warnings that the settings before did not have.
func (l *Reloader) warn(warnings []config.Warning) (added []string) {
	before := l.warned
	l.warned = map[config.Warning]bool{}
	for _, w := range warnings {
		if !before[w] {
			added = append(added, w.String())
			l.o.Log.Warn(w.String())
		}
		l.warned[w] = true
	}
	return added
}

// Watch starts to reload at each signal and after each change of a file, until
// Stop.
func (l *Reloader) Watch(signals <-chan os.Signal) {
	l.watch.Go(func() {
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		var w fileWatch
		for {
			select {
			case <-l.ctx.Done():
				return
			case <-signals:
				l.Reload("SIGHUP")
			case <-ticker.C:
				l.look(&w)
			}
		}
	})
}

// look reads the files once.
func (l *Reloader) look(w *fileWatch) {
	l.mu.Lock()
	files := l.cfg.Files()
	seen := l.seen
	l.mu.Unlock()
	changed, lost := w.look(readContents(files), seen)
	if lost != "" {
		l.o.Log.Warn("a file of the settings is gone or empty; its settings stay as they are until it is back, or until forward reload", "file", lost)
	}
	if changed {
		l.Reload("a changed file")
	}
}

// Stop ends the watch and all reloads, and waits for one that is under way.
// What Apply changes may be closed afterwards.
func (l *Reloader) Stop() {
	l.cancel()
	l.watch.Wait()
	l.mu.Lock() // a reload that was requested by the control socket
	defer l.mu.Unlock()
}
