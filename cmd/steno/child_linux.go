package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the child when this process is killed. Its own process group keeps Ctrl-C from reaching
// it before the calls under way are done.
func dieWithParent(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
