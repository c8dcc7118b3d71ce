package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/capture"
	"github.com/steno-audit/steno/internal/disk"
)

// gapFile, in the data directory, keeps what passed unrecorded while the log could not be written, until it is on record. It
// holds times, numbers, a count and a reason.
const gapFile = "gap.json"

// keptGap is a gap with the source whose numbers it names: the record of it may be written by the one that follows.
type keptGap struct {
	Source string `json:"source"`
	steno.LogGap
}

// writeGap writes a gap to the log, or to its file where the log cannot be written.
func (s *store) writeGap() {
	if s.recorder.WriteGap() {
		s.keepGap()
		return
	}
	// Of a file that stays the next start finds that the log tells all of it.
	if err := removeGap(disk.OS(), filepath.Join(s.dir, gapFile)); err != nil {
		s.logger.Error("a gap is on record, and its file could not be removed", "error", err)
	}
}

// keepGap writes a gap to its file. Where that fails it stays in memory.
func (s *store) keepGap() {
	gap, left := s.recorder.Gap()
	if !left {
		return
	}
	source := s.log.Source()
	b, err := json.Marshal(keptGap{hex.EncodeToString(source[:]), gap})
	if err == nil {
		err = disk.WriteFile(disk.OS(), filepath.Join(s.dir, gapFile), append(b, '\n'))
	}
	if err != nil {
		s.logger.Error("calls passed unrecorded, and their count cannot be kept on disk either", "calls", gap.Calls, "error", err)
	}
}

// recordOldGap writes the gap that the last process left to the log, less what the log already tells of it: the process may
// have died between the record and the removal of the file.
func (s *store) recordOldGap(fsys disk.FS) error {
	name := filepath.Join(s.dir, gapFile)
	b, err := fsys.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("couldn't read %s: %w", name, err)
	}
	var kept keptGap
	err = json.Unmarshal(b, &kept)
	source, hexErr := hex.DecodeString(kept.Source)
	if err = errors.Join(err, hexErr); err == nil && len(source) != 16 {
		err = fmt.Errorf("a source has 32 hex digits, it says %q", kept.Source)
	}
	if err != nil {
		return fmt.Errorf("%s is damaged: %w; it says how many calls passed unrecorded: keep a copy elsewhere, then remove it to start", name, err)
	}
	gap, err := capture.Unrecorded(s.log, [16]byte(source), kept.LogGap)
	if err != nil {
		return err
	}
	if gap.Calls > 0 {
		if _, err := s.log.Announce(steno.TypeLogGap, gap); err != nil {
			return err
		}
		s.logger.Warn("calls passed unrecorded before the last stop; the gap is now on record", "calls", gap.Calls)
	}
	return removeGap(fsys, name)
}

// removeGap removes the file for good: one that a power loss brought back could be taken for a gap of this process.
func removeGap(fsys disk.FS, name string) error {
	err := fsys.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("couldn't remove %s: %w", name, err)
	}
	return nil
}
