package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/capture"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// identity is DIR/steno.json: which log lies here, and whether it holds demo data. It is a note to ourselves; what it says
// is never trusted by verify.
type identity struct {
	Format int    `json:"format"`
	Origin string `json:"origin"`
	VKey   string `json:"vkey,omitempty"`
	Demo   bool   `json:"demo,omitempty"`
}

// store is an open data directory: the log and what is needed to write and read it. One process has it at a time.
type store struct {
	dir      string
	id       identity
	unlock   func() error
	keys     *seal.Keys
	log      *journal.Journal
	recorder *capture.Recorder
	index    *index.Index
	logger   *slog.Logger
	timeout  time.Duration
	stopBeat func()
}

// storeConfig says how a data directory is opened.
type storeConfig struct {
	Dir     string
	KeyDir  string
	Name    string // of the source: "gateway", "reader"
	Demo    bool
	Create  bool // make a new log where there is none
	Months  int
	Timeout time.Duration // an exchange that is silent for longer is not complete
	Logger  *slog.Logger
}

const (
	heartbeatEvery = 10 * time.Second
	keepGapEvery   = time.Second // a kill loses the count of that long
)

// openStore locks and opens a data directory: key ring, log with recovery, sealer, index. The first records of this start
// are durable when it returns.
func openStore(ctx context.Context, c storeConfig) (_ *store, err error) {
	fsys := disk.OS()
	s := &store{dir: c.Dir, logger: c.Logger, timeout: c.Timeout}
	if c.Create {
		if err := fsys.MkdirAll(c.Dir); err != nil {
			return nil, fmt.Errorf("couldn't make the data directory: %w", err)
		}
	} else if _, err := os.Stat(filepath.Join(c.Dir, "steno.json")); err != nil {
		return nil, fmt.Errorf("%s is no data directory of steno (it has no steno.json); `steno serve --data DIR` makes one", c.Dir)
	}
	if s.unlock, err = disk.Lock(c.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abandon())
		}
	}()
	if err := s.identify(fsys, c); err != nil {
		return nil, err
	}
	if err := s.openKeys(fsys, c); err != nil {
		return nil, err
	}
	recovered, err := s.openLog(ctx, fsys, c)
	if err != nil {
		return nil, err
	}
	sealer := seal.NewSealer(s.keys, seal.Config{
		Announce: func(t steno.PublicType, v any) error { _, err := s.log.Announce(t, v); return err },
		Class:    "standard", KeepMonths: c.Months,
	})
	s.recorder = capture.NewRecorder(s.log, sealer)
	if err := s.recorder.CloseUnknown(ctx, recovered.Open, s.openedBy, c.Logger); err != nil {
		return nil, err
	}
	s.index, err = index.Open(ctx, index.Config{FS: fsys, Dir: filepath.Join(c.Dir, "index"), Log: s.log, Keys: s.keys, Logger: c.Logger})
	if err != nil {
		return nil, fmt.Errorf("couldn't open the index: %w", err)
	}
	s.stopBeat = s.beat()
	return s, nil
}

// identify reads or makes steno.json, and refuses to mix demo data with real data.
func (s *store) identify(fsys disk.FS, c storeConfig) error {
	name := filepath.Join(c.Dir, "steno.json")
	b, err := fsys.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		var r [6]byte
		if _, err := rand.Read(r[:]); err != nil {
			return err
		}
		s.id = identity{Format: steno.FormatVersion, Origin: "steno.local/" + hex.EncodeToString(r[:]), Demo: c.Demo}
		return s.writeIdentity(fsys)
	}
	if err != nil {
		return fmt.Errorf("couldn't read %s: %w", name, err)
	}
	if err := json.Unmarshal(b, &s.id); err != nil || s.id.Origin == "" {
		return fmt.Errorf("%s is damaged; its origin is in the first record of the log and in DIR.anchor/checkpoint", name)
	}
	switch {
	case s.id.Format != steno.FormatVersion:
		return fmt.Errorf("%s has format %d, this steno reads %d", c.Dir, s.id.Format, steno.FormatVersion)
	case c.Name == "reader": // both kinds may be read
	case s.id.Demo && !c.Demo:
		return fmt.Errorf("%s holds demo data; `steno serve` never mixes it with real records: use another --data", c.Dir)
	case !s.id.Demo && c.Demo:
		return fmt.Errorf("%s holds real records; `steno demo` never writes to them: use another --data", c.Dir)
	}
	return nil
}

func (s *store) writeIdentity(fsys disk.FS) error {
	b, err := json.Marshal(s.id)
	if err != nil {
		return err
	}
	return disk.WriteFile(fsys, filepath.Join(s.dir, "steno.json"), append(b, '\n'))
}

// openKeys opens the key ring, and makes one for a log that does not exist yet.
func (s *store) openKeys(fsys disk.FS, c storeConfig) error {
	segments, err := fsys.ReadDir(filepath.Join(c.Dir, "journal"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("couldn't read the log's directory: %w", err)
	}
	_, err = fsys.Stat(filepath.Join(c.KeyDir, "ring"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(segments) == 0:
		s.keys, err = seal.Create(fsys, c.KeyDir, s.id.Origin, time.Now())
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the key ring %s is missing, so the log in %s cannot be read or written; bring the ring back, or check the log without it: steno verify %s",
			filepath.Join(c.KeyDir, "ring"), c.Dir, c.Dir)
	case err == nil:
		s.keys, err = seal.Open(fsys, c.KeyDir, s.id.Origin)
	}
	if err != nil {
		return fmt.Errorf("couldn't open the key ring in %s: %w", c.KeyDir, err)
	}
	return nil
}

// openLog recovers the log and announces this start in it.
func (s *store) openLog(ctx context.Context, fsys disk.FS, c storeConfig) (*journal.Recovered, error) {
	signer, vkey, err := s.keys.Signer()
	if err != nil {
		return nil, fmt.Errorf("couldn't open the signing key: %w", err)
	}
	log, recovered, err := journal.Open(ctx, journal.Config{
		FS: fsys, Dir: filepath.Join(c.Dir), AnchorDir: c.Dir + ".anchor", Origin: s.id.Origin, Signer: signer, VKey: vkey, Clock: kernelClock,
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't open the log in %s: %w", c.Dir, err)
	}
	s.log = log
	if recovered.Fresh {
		if _, err := log.Announce(steno.TypeLogCreated, steno.LogCreated{Origin: s.id.Origin, VKey: vkey, Created: time.Now().UnixNano(), Demo: s.id.Demo}); err != nil {
			return nil, err
		}
	}
	if s.id.VKey != vkey {
		s.id.VKey = vkey
		if err := s.writeIdentity(fsys); err != nil {
			return nil, err
		}
	}
	started := steno.SourceStarted{
		Name: c.Name, Version: version(), HeartbeatNS: int64(heartbeatEvery), ExchangeTimeout: int64(c.Timeout), Unanchored: recovered.Unanchored,
	}
	if p := recovered.LastSource; p != nil {
		started.Previous, started.PreviousNumber = p.Source[:], p.Number
	}
	if _, err := log.Announce(steno.TypeSourceStarted, started); err != nil {
		return nil, err
	}
	if d := recovered.Discarded; d != nil {
		c.Logger.Warn("the log ended in an unfinished write; it was never acknowledged and is left out", "bytes", d.Bytes)
		if _, err := log.Announce(steno.TypeTailDiscarded, *d); err != nil {
			return nil, err
		}
	}
	return recovered, s.recordOldGap(fsys)
}

// openedBy opens the request record of an exchange that the last process left open.
func (s *store) openedBy(o steno.OpenExchange) *steno.Event {
	e, err := s.log.Read(o.FirstLeaf)
	if err != nil {
		s.logger.Warn("an open exchange's request cannot be read", "leaf", o.FirstLeaf, "error", err)
		return nil
	}
	opened, err := s.keys.Open(e.Leaf, e.Body, s.readLeaf, steno.SectionIdentity|steno.SectionMetadata)
	if err != nil {
		s.logger.Warn("an open exchange's request cannot be opened", "leaf", o.FirstLeaf, "error", err)
		return nil
	}
	return &opened.Event
}

func (s *store) readLeaf(i uint64) (*steno.Leaf, []byte, error) {
	e, err := s.log.Read(i)
	if err != nil {
		return nil, nil, err
	}
	return e.Leaf, e.Body, nil
}

// beat writes a heartbeat with the state of the clock, so that silence is told from death.
func (s *store) beat() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(heartbeatEvery)
		defer t.Stop()
		keep, again := s.recorder.Passed(), time.NewTimer(keepGapEvery)
		defer again.Stop()
		for {
			select {
			case <-keep:
				s.keepGap() // this process may be killed before the next heartbeat
				keep = nil  // for a while: passing calls must not make a slow disk slower
				again.Reset(keepGapEvery)
			case <-again.C:
				keep = s.recorder.Passed()
			case <-t.C:
				s.writeGap()
				h := heartbeat()
				h.Open = len(s.log.State().Open)
				if _, err := s.log.Announce(steno.TypeHeartbeat, h); err != nil {
					s.logger.Error("no heartbeat: the log cannot be written", "error", err)
				}
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// close ends the source and the log.
func (s *store) close(reason string) error {
	s.stopBeat()
	s.writeGap()
	err := s.index.Close()
	if s.log.Failed() == nil {
		_, stopErr := s.log.Announce(steno.TypeSourceStopped, steno.SourceStopped{Reason: reason})
		err = errors.Join(err, stopErr)
	}
	return errors.Join(err, s.log.Close(), s.unlock())
}

// abandon gives back what a failed opening took.
func (s *store) abandon() error {
	var err error
	if s.log != nil {
		err = s.log.Close()
	}
	return errors.Join(err, s.unlock())
}
