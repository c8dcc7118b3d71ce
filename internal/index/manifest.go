package index

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/steno-audit/steno/internal/disk"
)

const (
	manifestName    = "manifest"
	manifestVersion = 2
)

// manifest lists the parts and says how far they go. It is what makes them count: they are on the disk before it.
type manifest struct {
	Version int
	Cursor  uint64   // leaves read, all of them in the parts
	Last    [32]byte // hash of the last of them
	Began   uint64   // size of the log when the index was begun
	Day     uint32   // newest day key of a record in it
	Next    uint64   // number of the next part
	Pending []pendingRecord
	Parts   []partInfo
}

func (x *Index) readManifest() (*manifest, error) {
	name := filepath.Join(x.cfg.Dir, manifestName)
	s, err := x.keys.openSealed(x.cfg.FS, x.tables.chunks, name, tableManifest)
	if err != nil {
		return nil, err
	}
	defer s.Close() //nolint:errcheck // it was only read from
	b := make([]byte, s.size)
	if _, err := s.ReadAt(b, 0); err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, errDamaged, err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%s has version %d, this steno reads %d", name, m.Version, manifestVersion)
	}
	return &m, nil
}

// writeManifest makes a manifest durable. The caller holds writing.
func (x *Index) writeManifest(m *manifest, day uint32) error {
	m.Version = manifestVersion
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if b, err = x.keys.sealFile(tableManifest, day, b); err != nil {
		return err
	}
	return disk.WriteFile(x.cfg.FS, filepath.Join(x.cfg.Dir, manifestName), b)
}

// anyDay returns the day key for rows that belong to none: that of the newest record, or one that is there.
func (x *Index) anyDay(newest uint32) (uint32, bool) {
	days := x.cfg.Keys.DayKeys()
	for _, d := range days {
		if d.No == newest {
			return newest, true
		}
	}
	if len(days) == 0 {
		return 0, false
	}
	return days[0].No, true
}

// dayName returns the UTC day of a day key, "" when it is gone.
func (x *Index) dayName(no uint32) string {
	for _, d := range x.cfg.Keys.DayKeys() {
		if d.No == no {
			return d.Day
		}
	}
	return ""
}

func (m *manifest) clone() manifest {
	c := *m
	c.Parts, c.Pending = slices.Clone(m.Parts), slices.Clone(m.Pending)
	return c
}

// isDamage tells what the index heals by building itself again from what it can only report.
func isDamage(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist)
}
