//go:build !linux

package main

import (
	"errors"
	"time"
)

func cpuOf(int) (time.Duration, error) { return 0, errors.New("the bench needs Linux") }

func sleepExactly(d time.Duration) { time.Sleep(d) }
