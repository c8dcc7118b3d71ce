package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/policy"
)

// policyVersionFile, in the data directory, holds the version of the call policy that was in force last.
const policyVersionFile = "policy-version"

// policyWatch loads the call policy and takes over changes of its files.
type policyWatch struct {
	patterns []string
	version  string // in force; "" without policy files: every call is permitted
	seen     string // what the files looked like when they were last read, good or bad
	words    atomic.Value
}

// load reads the files. Without any it is nil: every call is permitted.
func (w *policyWatch) load() (*policy.Set, error) {
	if len(w.patterns) == 0 {
		w.words.Store("none: every call is permitted")
		return nil, nil
	}
	w.seen = w.look()
	set, err := policy.Load(w.patterns)
	if err != nil {
		return nil, fmt.Errorf("the call policy is not usable:\n%w", err)
	}
	w.version = set.Version()
	w.words.Store(fmt.Sprintf("%s in force, version %s", counted(len(set.IDs()), "Cedar policy", "Cedar policies"), w.version))
	return set, nil
}

// look tells the files as they are on the disk, without reading them.
func (w *policyWatch) look() string {
	var b strings.Builder
	for _, p := range w.patterns {
		names, _ := filepath.Glob(p) // it was a pattern when it was loaded
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				fmt.Fprintf(&b, "%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
			}
		}
	}
	return b.String()
}

// watch takes over what changes, each half second and on SIGHUP. A set that is not usable changes nothing: the one in force
// stays so, and the attempt is reported.
func (w *policyWatch) watch(changed func(set *policy.Set, before string, err error) bool, logger *slog.Logger) (stop func()) {
	if len(w.patterns) == 0 {
		return func() {}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		for {
			asked := false
			select {
			case <-quit:
				return
			case <-hup:
				asked = true
			case <-t.C:
			}
			if !asked && w.look() == w.seen {
				continue
			}
			before := w.version
			set, err := w.load()
			switch {
			case err != nil:
				logger.Error("the call policy changed and is not usable; the one in force stays so", "error", err)
				changed(nil, before, err)
			case w.version != before:
				if !changed(set, before, nil) {
					w.version, w.seen = before, "" // it is tried again
				}
			}
		}
	}()
	return func() { signal.Stop(hup); close(quit); <-done }
}

// takePolicy puts a changed policy in force. Its record is durable first, so that no call is decided by a policy that the
// log does not know of; where the log cannot be written the old one stays.
func (s *server) takePolicy(set *policy.Set, before string, err error) bool {
	outcome, reason, after := "ok", "", s.policy.version
	if err != nil {
		outcome, reason, after = "failed", "not usable", before
	}
	if rerr := s.recordPolicy(before, after, outcome, reason); rerr != nil {
		s.store.logger.Error("a change of the call policy could not be recorded; the one in force stays so for now", "error", rerr)
		return false
	}
	if err != nil {
		return true
	}
	s.gateway.SetPolicy(set)
	s.store.logger.Info("another call policy is in force", "version", after, "before", before)
	if err := s.keepPolicyVersion(); err != nil {
		s.store.logger.Error("the next start will record this change of the call policy again", "error", err)
	}
	return true
}

// recordPolicy makes a change of the call policy a record.
func (s *server) recordPolicy(before, after, outcome, reason string) error {
	now := time.Now().UTC()
	details := map[string]json.RawMessage{}
	for name, v := range map[string]string{"before": before, "after": after} {
		if v == "" {
			v = "none"
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		details[name] = b
	}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "governance.policy_changed", Time: now,
		System: &steno.System{Action: "policy_changed", Actor: "operator", Target: "call policy", Outcome: outcome, Reason: reason, Details: details},
	}}
	_, err := s.store.recorder.Record(context.Background(), d, 0)
	return err
}

// policyAtStart records that a start has another policy in force than the one before, which left its version in a file.
func (s *server) policyAtStart() error {
	b, err := os.ReadFile(filepath.Join(s.cfg.Data, policyVersionFile))
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("couldn't read the version of the last call policy: %w", err)
	}
	before := strings.TrimSpace(string(b))
	if before == s.policy.version {
		return nil
	}
	if err := s.recordPolicy(before, s.policy.version, "ok", "at the start"); err != nil {
		return fmt.Errorf("couldn't record the call policy: %w", err)
	}
	return s.keepPolicyVersion()
}

func (s *server) keepPolicyVersion() error {
	return disk.WriteFile(disk.OS(), filepath.Join(s.cfg.Data, policyVersionFile), []byte(s.policy.version+"\n"))
}

// String says what is in force, for the status.
func (w *policyWatch) String() string { return w.words.Load().(string) } // load has stored one
