package chatlog

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// stampLayout names files that are set aside, such as
// chat.2026-11-21_15-27-12_000000.log. The form is openai-forward's, but the
// time is UTC: local time goes back each autumn.
const stampLayout = "2006-01-02_15-04-05.000000"

const (
	packed  = ".zst"   // suffix of compressed files
	packing = ".pack-" // prefix of files whose compression is unfinished
)

// aside is a log file found in the directory.
type aside struct {
	path       string
	info       fs.FileInfo
	stamp      time.Time // when it was set aside; zero for a current file
	unfinished bool      // left over from an interrupted compression
}

// asides lists the files of all logs below dir whose names this package or
// openai-forward gives.
func asides(dir string) (list []aside) {
	dirs, _ := fs.Glob(os.DirFS(dir), "*/*")
	for _, sub := range dirs {
		base := filepath.Base(sub) + ".log"
		entries, _ := os.ReadDir(filepath.Join(dir, sub))
		for _, e := range entries {
			stamp, rotated := stampOf(base, e.Name())
			unfinished := strings.HasPrefix(e.Name(), packing)
			if !rotated && !unfinished && e.Name() != base {
				continue
			}
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			list = append(list, aside{filepath.Join(dir, sub, e.Name()), info, stamp, unfinished})
		}
	}
	return list
}

// newestStamp returns the greatest stamp of the files set aside from a log, or
// the zero time if there are none.
func newestStamp(path string) (newest time.Time) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if t, ok := stampOf(filepath.Base(path), e.Name()); ok && t.After(newest) {
			newest = t
		}
	}
	return newest
}

// stampOf returns when the file with a name was set aside, and whether it is a
// rotated file of the log called base.
func stampOf(base, name string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(base, "log"))
	if !ok {
		return time.Time{}, false
	}
	for _, suffix := range []string{".gz", packed} {
		rest = strings.TrimSuffix(rest, suffix)
	}
	rest, ok = strings.CutSuffix(rest, ".log")
	if !ok {
		return time.Time{}, false
	}
	t, err := parseStamp(rest)
	return t, err == nil
}

func formatStamp(t time.Time) string {
	return strings.Replace(t.UTC().Format(stampLayout), ".", "_", 1)
}

func parseStamp(s string) (time.Time, error) {
	if i := strings.LastIndexByte(s, '_'); i >= 0 {
		s = s[:i] + "." + s[i+1:]
	}
	return time.Parse(stampLayout, s)
}
