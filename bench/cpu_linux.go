package main

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf reads the clock that runs while a process does. Unlike /proc/PID/stat,
// which counts in hundredths of a second, it has nanoseconds, and the threads
// that have ended are in it. The number of the clock is made as
// clock_getcpuclockid(3) makes it.
func cpuOf(pid int) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	err := unix.ClockGettime(int32(^uint32(pid)<<3|scheduler), &ts)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESRCH) {
		return 0, os.ErrNotExist
	}
	return time.Duration(ts.Nano()), err
}

// sleepExactly sleeps as exactly as the kernel can. The runtime's own timers
// may be a millisecond late when nothing else happens, which would be in every
// latency. It holds a thread.
func sleepExactly(d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	for errors.Is(unix.Nanosleep(&ts, &ts), unix.EINTR) {
	}
}
