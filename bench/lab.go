package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"forward/bench/load"
)

// lab is where all is measured: what was built, the upstream, and how many
// descriptors a process may have.
type lab struct {
	root, dir   string
	commit      string // what of the repository was built
	forward     string // binaries
	bare        string
	cached      string // a text as long as the answer out of the cache, for a file that nginx serves
	upstream    *process
	descriptors int
	seq         load.Sequence
	log         io.Writer // progress

	mu       sync.Mutex
	launched []*process // all that were ever started
}

// newLab builds what is measured, by the line that the image is built by, and
// starts the upstream.
func newLab(log io.Writer) (*lab, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "forward-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{root: root, dir: dir, forward: filepath.Join(dir, "forward"), bare: filepath.Join(dir, "bare"), log: log}
	l.closeAtSignal()
	if err := l.prepare(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) prepare() error {
	// nginx's workers, which give up root's rights, read files in it.
	if err := os.Chmod(l.dir, 0o755); err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	l.descriptors = int(min(limit.Cur, 1<<20)) // Go programs raise the soft limit to the hard one as they start, and children inherit it
	l.commit = commitOf(l.root)
	upstream := filepath.Join(l.dir, "upstream")
	for binary, pkg := range map[string]string{l.forward: "./cmd/forward", l.bare: "./bench/bare", upstream: "./bench/upstream"} {
		if err := l.build(binary, pkg); err != nil {
			return err
		}
	}
	address, err := unused()
	if err != nil {
		return err
	}
	if l.upstream, err = l.launch(l.dir, address, nil, upstream, "-listen", address); err != nil {
		return err
	}
	if err := l.upstream.ready(10 * time.Second); err != nil {
		return err
	}
	return l.sizeUp()
}

// sizeUp makes a text as long as the upstream's answer to a chat.
func (l *lab) sizeUp() error {
	t := l.target(&party{gateway: &gateway{}, process: l.upstream}, "chat", "", nil)
	conn, err := t.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	a, err := load.NewConn(conn, 4<<10).Do(t.Request, l.seq.Next())
	if err != nil {
		return err
	}
	l.cached = strings.Repeat("x", a.Size)
	return nil
}

// build makes a binary with the flags of the Dockerfile.
func (l *lab) build(binary, pkg string) error {
	c := exec.Command("go", "build", "-tags", "nomsgpack", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
	c.Dir = l.root
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w: %s", pkg, err, out)
	}
	return nil
}

// closeAtSignal ends everything when the bench is interrupted: what it has
// started has process groups of its own, and would go on.
func (l *lab) closeAtSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		l.close()
		os.Exit(1)
	}()
}

// close ends every process that is left and removes all files.
func (l *lab) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.launched {
		p.stop()
	}
	// What cannot be removed stays in the directory for temporary files.
	_ = os.RemoveAll(l.dir)
}

// moduleRoot is the top of the repository.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("run it inside of the repository")
	}
	return filepath.Dir(file), nil
}

// party is a gateway that runs.
type party struct {
	*gateway
	process *process // the upstream itself for direct
	headers map[string]string
}

// start runs a gateway in a new directory and waits until it answers. The time
// is from its start to its first answer.
func (l *lab) start(g *gateway) (*party, time.Duration, error) {
	if g.command == nil {
		return &party{gateway: g, process: l.upstream}, 0, nil
	}
	dir, err := os.MkdirTemp(l.dir, "gateway-")
	if err != nil {
		return nil, 0, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, 0, err
	}
	binary, err := g.program(l)
	if err != nil {
		return nil, 0, err
	}
	address, err := unused()
	if err != nil {
		return nil, 0, err
	}
	s := &site{dir: dir, address: address, upstream: l.upstream.address, binary: binary}
	if err := g.command(l, s); err != nil {
		return nil, 0, err
	}
	process, err := l.launch(dir, address, s.env, s.command...)
	if err != nil {
		return nil, 0, err
	}
	p := &party{gateway: g, process: process, headers: s.headers}
	took, err := l.firstAnswer(p)
	if err != nil {
		process.stop()
		return nil, 0, err
	}
	return p, took, nil
}

// firstAnswer waits until a chat comes through.
func (l *lab) firstAnswer(p *party) (time.Duration, error) {
	if err := p.process.ready(20 * time.Second); err != nil {
		return 0, err
	}
	t := l.target(p, "chat filtered", "", load.Plain(400, ""))
	for {
		conn, err := t.Dial()
		if err != nil {
			return 0, err
		}
		c := load.NewConn(conn, 4<<10)
		a, err := c.Do(t.Request, l.seq.Next())
		took := time.Since(p.process.started)
		if err == nil {
			err = t.Check(a)
		}
		// It was only for this.
		_ = c.Close()
		if err == nil {
			return took, nil
		}
		if took > 20*time.Second {
			return 0, fmt.Errorf("it does not answer: %w: %s", err, p.process.output())
		}
		time.Sleep(time.Millisecond)
	}
}

// stop ends a gateway; the upstream goes on.
func (l *lab) stop(p *party) {
	if p.process != l.upstream {
		p.process.stop()
	}
}

// prompt is ordinary prose, so that counting its tokens takes what it takes in
// earnest. With what is around it a request has 1.5 KB.
//
//go:embed prompt.txt
var prompt string

// target makes a load for a party. The upstream plays what play names;
// fields are further ones of the body, each with a comma behind it.
func (l *lab) target(p *party, play, fields string, check func(*load.Answer) error) *load.Target {
	body := `{"model":"gpt-4o-mini","max_tokens":256,` + fields + p.fields +
		`"messages":[{"role":"system","content":"play:` + play + `"},{"role":"user","content":"` + prompt + load.Nonce + `"}]}`
	return l.request(p, "/v1/chat/completions", body, check)
}

func (l *lab) request(p *party, path, body string, check func(*load.Answer) error) *load.Target {
	headers := map[string]string{}
	for _, some := range []map[string]string{p.gateway.headers, p.headers} {
		for name, value := range some {
			headers[name] = value
		}
	}
	address := p.process.address
	return &load.Target{
		Dial:    func() (net.Conn, error) { return net.DialTimeout("tcp", address, 5*time.Second) },
		Request: load.New(address, path, headers, body), Check: check,
	}
}
