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
	// settled is how long after it was set aside a file is compressed. Another
	// process that writes to the same logs may not notice the rotation for
	// lookEvery, and what it appends would be lost.
	settled   = 10 * lookEvery
	packAgain = time.Minute // after which a failure, perhaps of a full disk, is tried again
	abandoned = time.Hour   // after which an unfinished file of another process is removed
)

// packer is the goroutine that compresses the files set aside, and removes the
// oldest when all are too large together.
//
// It loses nothing when the process is killed: a compressed file gets its name
// once it is whole and on the disk, and only then the plain one is removed.
// Where both exist, readers take the plain one.
type packer struct {
	dir      string
	maxTotal int64                       // bytes of all logs; 0: no bound
	old      func(aside, time.Time) bool // reports whether a file is about to be removed for its age
	idle     func() bool                 // reports whether no files are kept; those of an earlier time stay as they are
	log      *slog.Logger
	wake     chan struct{} // has a token if there is something to do
	stop     chan struct{} // closed when the packer must end
	done     chan struct{} // closed when it has ended
}

func newPacker(w *writer, maxTotal int64, idle func() bool) *packer {
	return &packer{
		dir:      w.dir,
		maxTotal: maxTotal,
		old:      w.isOld,
		idle:     idle,
		log:      w.log,
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
	}
}

// rotated wakes the packer after a file was set aside. It does not block.
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
			next = packAgain // another process may have set a file aside
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

// pass compresses and removes what is due. It returns the time after which more
// will be, or 0 if that is not known.
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
		case p.old(f, now): // compressing it would make it new
		case wait > 0:
			next = max(next, wait)
		default:
			err := p.pack(f.path)
			if err != nil && !errors.Is(err, errStopped) && !errors.Is(err, fs.ErrNotExist) {
				p.log.Warn("a chat log is not compressed", "error", err)
				next = packAgain
			}
		}
	}
	p.bound()
	return next
}

// bound removes the oldest files set aside until all logs together are small
// enough. Current files stay.
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

// pack compresses a file. The copy has a temporary name until it is whole, so
// that readers of the logs never find a part of one.
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
	defer os.Remove(out.Name()) // fails after the rename, as it should
	defer out.Close()
	n, err := p.compress(out, in)
	if err == nil {
		err = out.Sync() // or a power failure could leave the name without the content
	}
	info, statErr := in.Stat()
	if err = errors.Join(err, statErr); err != nil {
		return fmt.Errorf("compressing a chat log: %w", err)
	}
	if info.Size() != n {
		return fmt.Errorf("compressing a chat log: %s grew meanwhile", path)
	}
	err = errors.Join(os.Chtimes(out.Name(), time.Time{}, info.ModTime()), os.Rename(out.Name(), path+packed))
	if err != nil {
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

// syncDir syncs the names in a directory where the system can do that, so that
// after a power failure too the compressed file exists before the plain one is
// gone.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}
