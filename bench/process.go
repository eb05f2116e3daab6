package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that is measured, with the processes that it starts.
type process struct {
	cmd     *exec.Cmd
	address string // host:port that it listens on
	started time.Time
	done    chan struct{}
	log     string // file with what it wrote
}

// launch runs a program in dir, which holds what it writes.
func (l *lab) launch(dir, address string, env []string, command ...string) (*process, error) {
	log, err := os.CreateTemp(dir, "log-")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(command[0], command[1:]...), address: address, done: make(chan struct{}), log: log.Name()}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end with it
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.launched = append(l.launched, p)
	l.mu.Unlock()
	go func() {
		defer close(p.done)
		// How it ended is of no interest, but that it did.
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// ready waits until a connection is accepted.
func (p *process) ready(within time.Duration) error {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(time.Millisecond / 2) {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended: %s", p.output())
		default:
		}
	}
	return fmt.Errorf("it does not listen after %v: %s", within, p.output())
}

// output returns the end of what it wrote.
func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-500):]))
}

// stop ends it and its children.
func (p *process) stop() {
	select {
	case <-p.done: // its number may be another's by now
		return
	default:
	}
	// Errors mean that it has ended just now.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return // nginx ends its workers itself
	case <-time.After(3 * time.Second):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// family is the process and its descendants.
func (p *process) family() ([]int, error) {
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		pid, parent, err := parentOf(text)
		if err != nil {
			return nil, err
		}
		children[parent] = append(children[parent], pid)
	}
	if len(children) == 0 {
		return nil, errors.New("no /proc: the bench needs Linux")
	}
	all := []int{p.cmd.Process.Pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// parentOf reads the ids of a process and its parent from its line of
// /proc/PID/stat: "7 (name, with any bytes) S 1 …".
func parentOf(stat []byte) (pid, parent int, err error) {
	open, close := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || close < 0 {
		return 0, 0, fmt.Errorf("not a line of /proc/PID/stat: %q", stat)
	}
	fields := strings.Fields(string(stat[close+1:]))
	if len(fields) < 2 {
		return 0, 0, fmt.Errorf("not a line of /proc/PID/stat: %q", stat)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(stat[:open]))); err != nil {
		return 0, 0, err
	}
	parent, err = strconv.Atoi(fields[1])
	return pid, parent, err
}

// cpu is what the family has taken of the processors so far.
func (p *process) cpu() (time.Duration, error) {
	pids, err := p.family()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range pids {
		d, err := cpuOf(pid)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// memory is what the family holds resident, in bytes. Pages that several share
// count once among them (Pss).
func (p *process) memory() (int64, error) {
	pids, err := p.family()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		n, err := pss(string(text))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// pss finds the proportional set size in /proc/PID/smaps_rollup.
func pss(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no Pss in smaps_rollup")
}

// unused finds an address without a listener.
func unused() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
