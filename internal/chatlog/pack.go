package chatlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	// settled is how long after it was set aside a file is compressed. Another process that writes to the same logs may not
	// have noticed for lookEvery, and what it appends would be lost.
	settled = 10 * lookEvery
	// packAgain is after how long it is tried again what could not be done, for a full disk perhaps.
	packAgain = time.Minute
	packed    = ".zst"
	packing   = ".pack-" // names of unfinished files begin so
	abandoned = time.Hour
)

// packer is the goroutine that compresses the files that were set aside, and removes the oldest when all are too large together.
// It loses nothing when it is killed: a compressed file gets its name when it is whole and on the disk, and only then the plain one
// goes. Where both are there, the plain one counts.
type packer struct {
	dir      string
	maxTotal int64                       // bytes of all logs; 0: no bound
	old      func(aside, time.Time) bool // is about to be removed for its age
	idle     func() bool                 // no files are kept, and those from before are nobody's business
	log      *slog.Logger
	wake     chan struct{} // has a token when there is something to do
	stop     chan struct{} // closed when it is to end
	done     chan struct{} // closed when it has
}

func newPacker(dir string, maxTotal int64, old func(aside, time.Time) bool, idle func() bool, log *slog.Logger) *packer {
	return &packer{dir, maxTotal, old, idle, log, make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
}

// rotated tells that there is a new file to compress. It does not wait.
func (p *packer) rotated() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *packer) run() {
	defer close(p.done)
	for {
		next := p.pass(time.Now())
		if next == 0 {
			next = packAgain // another process may have set one aside
		}
		timer := time.NewTimer(next)
		select {
		case <-p.stop:
			timer.Stop()
			return
		case <-p.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// close ends the packer, also in the middle of a file.
func (p *packer) close() {
	close(p.stop)
	<-p.done
}

func (p *packer) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// pass does what there is to do, and returns after which time there will be more, 0 if nobody knows of any.
func (p *packer) pass(now time.Time) (next time.Duration) {
	if p.idle() {
		return 0
	}
	for _, f := range asides(p.dir) {
		if p.stopped() {
			return 0
		}
		switch wait := settled - now.Sub(f.stamp); {
		case f.unfinished:
			if now.Sub(f.info.ModTime()) > abandoned {
				os.Remove(f.path)
			}
		case f.stamp.IsZero() || strings.HasSuffix(f.path, packed) || strings.HasSuffix(f.path, ".gz"):
		case p.old(f, now): // compressing it would bring it back
		case wait > 0:
			next = max(next, wait)
		default:
			if err := p.pack(f.path); err != nil && !errors.Is(err, errStopped) && !errors.Is(err, fs.ErrNotExist) {
				p.log.Warn("a chat log is not compressed", "error", err)
				next = packAgain
			}
		}
	}
	p.bound()
	return next
}

// bound removes the oldest files that were set aside, until all logs together are small enough. Those that are written to stay.
func (p *packer) bound() {
	if p.maxTotal <= 0 {
		return
	}
	all := asides(p.dir)
	var total int64
	for _, f := range all {
		total += f.info.Size()
	}
	slices.SortFunc(all, func(a, b aside) int { return a.stamp.Compare(b.stamp) })
	for _, f := range all {
		if total <= p.maxTotal {
			return
		}
		if f.stamp.IsZero() || f.unfinished {
			continue
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.log.Warn("removing an old chat log", "error", err)
			continue
		}
		total -= f.info.Size()
	}
}

var errStopped = errors.New("the chat log is being closed")

// pack compresses a file: into one without a name of its own first, so that whoever reads logs sees none that is not whole.
func (p *packer) pack(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("compressing a chat log: %w", err)
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(path), packing+"*")
	if err != nil {
		return fmt.Errorf("compressing a chat log: %w", err)
	}
	defer os.Remove(out.Name()) // fails when it was renamed, as it should
	defer out.Close()
	n, err := p.compress(out, in)
	if err == nil {
		err = out.Sync() // or a power failure could leave its name and not what is in it
	}
	info, statErr := in.Stat()
	if err = errors.Join(err, statErr); err != nil {
		return fmt.Errorf("compressing a chat log: %w", err)
	}
	if info.Size() != n {
		return fmt.Errorf("compressing a chat log: %s grew meanwhile", path)
	}
	if err := errors.Join(os.Chtimes(out.Name(), time.Time{}, info.ModTime()), os.Rename(out.Name(), path+packed)); err != nil {
		return fmt.Errorf("compressing a chat log: %w", err)
	}
	syncDir(filepath.Dir(path))
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing a chat log that was compressed: %w", err)
	}
	return nil
}

// compress returns how many bytes it read.
func (p *packer) compress(out io.Writer, in io.Reader) (n int64, err error) {
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	defer z.Close()
	for {
		if p.stopped() {
			return n, errStopped
		}
		part, err := io.CopyN(z, in, 1<<20)
		n += part
		if errors.Is(err, io.EOF) {
			return n, z.Close()
		}
		if err != nil {
			return n, err
		}
	}
}

// syncDir puts the names in a directory on the disk, where that can be done: then the compressed file is there before the plain one
// is gone also for a power failure.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// aside is a file of the logs in a directory.
type aside struct {
	path       string
	info       fs.FileInfo
	stamp      time.Time // when it was set aside; zero for one that is written to
	unfinished bool      // it was being compressed
}

// asides lists the files of all logs below dir, with names that this package gives, or openai-forward gave.
func asides(dir string) (list []aside) {
	dirs, _ := fs.Glob(os.DirFS(dir), "*/*")
	for _, sub := range dirs {
		base := filepath.Base(sub) + ".log"
		entries, _ := os.ReadDir(filepath.Join(dir, sub))
		for _, e := range entries {
			stamp, rotated := stampOf(base, e.Name())
			unfinished := strings.HasPrefix(e.Name(), packing)
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() || !rotated && !unfinished && e.Name() != base {
				continue
			}
			list = append(list, aside{filepath.Join(dir, sub, e.Name()), info, stamp, unfinished})
		}
	}
	return list
}
