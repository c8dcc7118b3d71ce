package main

import (
	"golang.org/x/sys/unix"

	"github.com/steno-audit/steno"
)

// kernelClock asks the kernel how sure it is of its clock (adjtimex(2), as set by chrony or ntpd).
func kernelClock() steno.ClockState {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return 0
	}
	return steno.NewClockState(state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, t.Maxerror)
}

// heartbeat reads the clock's offset and error bound for a heartbeat record.
func heartbeat() steno.Heartbeat {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return steno.Heartbeat{}
	}
	offset := t.Offset * 1000
	if t.Status&unix.STA_NANO != 0 {
		offset = t.Offset
	}
	return steno.Heartbeat{OffsetNS: offset, MaxErrorNS: t.Maxerror * 1000, Clock: uint32(kernelClock())}
}

// harden keeps plain text out of core files and from other processes of the same user.
func harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
