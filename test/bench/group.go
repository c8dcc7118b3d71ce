//go:build bench

package main

import (
	"errors"
	"sync"

	"github.com/steno-audit/steno/internal/disk"
)

var errGroupClosed = errors.New("the raw log is closed")

// groupLog is group commit and nothing else: one write and one fdatasync for all that wait, on a file that grows. It has
// no tree, no frames, no readers and no recovery: a ceiling for logs, not a log.
type groupLog struct {
	file  disk.File
	ended chan struct{}

	mu    sync.Mutex
	wake  *sync.Cond
	queue [][]byte
	group *commit // what the next write takes
	shut  bool
	err   error // sticky: bytes after a failed sync are lost
}

// commit is one write and its outcome.
type commit struct {
	done chan struct{}
	err  error
}

func openGroupLog(name string) (*groupLog, error) {
	f, err := disk.OS().Create(name)
	if err != nil {
		return nil, err
	}
	g := &groupLog{file: f, ended: make(chan struct{}), group: newCommit()}
	g.wake = sync.NewCond(&g.mu)
	go g.write()
	return g, nil
}

func newCommit() *commit { return &commit{done: make(chan struct{})} }

// append returns when the bytes are durable.
func (g *groupLog) append(p []byte) error {
	g.mu.Lock()
	if g.shut || g.err != nil {
		g.mu.Unlock()
		return errors.Join(errGroupClosed, g.err)
	}
	g.queue = append(g.queue, p)
	c := g.group
	g.wake.Signal()
	g.mu.Unlock()
	<-c.done
	return c.err
}

func (g *groupLog) write() {
	defer close(g.ended)
	var buf []byte
	for {
		g.mu.Lock()
		for len(g.queue) == 0 && !g.shut {
			g.wake.Wait()
		}
		if len(g.queue) == 0 {
			g.mu.Unlock()
			return
		}
		queue, c := g.queue, g.group
		g.queue, g.group = make([][]byte, 0, len(queue)), newCommit()
		g.mu.Unlock()
		buf = buf[:0]
		for _, p := range queue {
			buf = append(buf, p...)
		}
		if _, c.err = g.file.Write(buf); c.err == nil {
			c.err = g.file.Sync()
		}
		if c.err != nil {
			g.mu.Lock()
			g.err = c.err
			g.mu.Unlock()
		}
		close(c.done)
	}
}

// close waits for what is queued.
func (g *groupLog) close() error {
	g.mu.Lock()
	g.shut = true
	g.wake.Signal()
	g.mu.Unlock()
	<-g.ended
	return errors.Join(g.err, g.file.Close())
}
