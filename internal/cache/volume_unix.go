//go:build linux || darwin

package cache

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// volume returns the bytes that are free to this process, and all bytes, of the
// file system that holds dir.
func volume(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("asking how full the volume of %q is: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}

// allocated returns what a file takes on disk. Its size would mislead: Badger
// maps files of many megabytes that are holes.
func allocated(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return info.Size()
}
