package capture

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
)

// idDays is how long a submitted event's id is remembered, in whole UTC days.
const idDays = 7

// idTable is the exact index of submitted events: keyed hashes of tenant, source and id, and of the content. Its files, one
// a UTC day, are a cache of the log: entries that a crash lost are read from the log again at start.
type idTable struct {
	fs  disk.FS
	dir string
	mac []byte
	log *journal.Journal

	mu       sync.Mutex
	known    map[[32]byte]idEntry
	busy     map[[32]byte]chan struct{} // claims under way
	unmarked int                        // entries since the last mark
	day      string
	file     disk.File
	failed   error // the cache can no longer be written; answers stay exact from memory
}

type idEntry struct {
	content [32]byte
	leaf    uint64
	day     string
}

type idState int

const (
	idNew idState = iota
	idDuplicate
	idConflict
)

const (
	idEntrySize = 76 // key 32 | content 32 | leaf u64 | crc32 u32
	markEvery   = 256
)

// markKey stands in an entry that says up to which leaf the file is complete.
var markKey [32]byte

// openIDs reads the files of the last days, then what the log has after them. origin opens a record and returns its
// tenant and origin, nil for a record that was not submitted or cannot be opened any more.
func openIDs(ctx context.Context, fsys disk.FS, dir string, mac []byte, log *journal.Journal, origin func(*journal.Entry) (string, *steno.Origin)) (*idTable, error) {
	t := &idTable{fs: fsys, dir: dir, mac: mac, log: log, known: map[[32]byte]idEntry{}, busy: map[[32]byte]chan struct{}{}}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("couldn't make the table of event ids: %w", err)
	}
	now := time.Now().UTC()
	next, err := t.load(now)
	if err != nil {
		return nil, err
	}
	size := log.Size()
	if next >= size {
		return t, nil
	}
	oldest := now.AddDate(0, 0, -idDays)
	for e, err := range log.Follow(ctx, next) {
		if err != nil {
			return nil, fmt.Errorf("couldn't read submitted events from the log: %w", err)
		}
		if written := time.Unix(0, e.Leaf.WrittenAt).UTC(); written.After(oldest) && e.Leaf.Flags&steno.FlagPublicOnly == 0 {
			if tenant, o := origin(e); o != nil {
				t.put(t.key(tenant, o.Source, o.ID), idEntry{t.parseContent(o.Content), e.Index, written.Format(time.DateOnly)})
			}
		}
		if e.Index+1 >= size {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mark(size)
	return t, nil
}

// load returns the first leaf that the files say nothing of.
func (t *idTable) load(now time.Time) (next uint64, err error) {
	names, err := t.fs.ReadDir(t.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("couldn't read the table of event ids: %w", err)
	}
	oldest := now.AddDate(0, 0, -idDays).Format(time.DateOnly)
	for _, name := range names {
		day, ok := strings.CutSuffix(name, ".ids")
		if !ok {
			continue
		}
		if day < oldest {
			if err := t.fs.Remove(path.Join(t.dir, name)); err != nil {
				return 0, fmt.Errorf("couldn't remove old event ids: %w", err)
			}
			continue
		}
		b, err := t.fs.ReadFile(path.Join(t.dir, name))
		if err != nil {
			return 0, fmt.Errorf("couldn't read event ids: %w", err)
		}
		for ; len(b) >= idEntrySize; b = b[idEntrySize:] {
			if crc32.ChecksumIEEE(b[:72]) != binary.BigEndian.Uint32(b[72:]) {
				break // torn by a crash: the log has what is missing
			}
			leaf := binary.BigEndian.Uint64(b[64:])
			if key := [32]byte(b); key == markKey {
				next = max(next, leaf+1)
			} else {
				t.known[key] = idEntry{[32]byte(b[32:]), leaf, day}
			}
		}
	}
	return next, nil
}

func (t *idTable) key(tenant, source, id string) [32]byte {
	m := hmac.New(sha256.New, t.mac)
	for _, s := range []string{tenant, source, id} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		m.Write(n[:])
		m.Write([]byte(s))
	}
	return [32]byte(m.Sum(nil))
}

func (t *idTable) contentMAC(content []byte) [32]byte {
	m := hmac.New(sha256.New, t.mac)
	m.Write([]byte("content\x00"))
	m.Write(content)
	return [32]byte(m.Sum(nil))
}

func (t *idTable) parseContent(s string) (c [32]byte) {
	if b, err := hex.DecodeString(s); err == nil && len(b) == len(c) {
		c = [32]byte(b)
	}
	return c
}

// claim is the right to record an event under an id; it ends with keep or drop.
type claim struct {
	t       *idTable
	key     [32]byte
	content [32]byte
	wait    chan struct{}
}

// claim finds out whether the id is new. While another submission of the same id is under way it waits for its outcome.
func (t *idTable) claim(ctx context.Context, tenant, source, id string, content []byte) (*claim, idState, error) {
	key, mac := t.key(tenant, source, id), t.contentMAC(content)
	for {
		t.mu.Lock()
		if e, ok := t.known[key]; ok {
			t.mu.Unlock()
			if e.content == mac {
				return nil, idDuplicate, nil
			}
			return nil, idConflict, nil
		}
		other, ok := t.busy[key]
		if !ok {
			c := &claim{t, key, mac, make(chan struct{})}
			t.busy[key] = c.wait
			t.mu.Unlock()
			return c, idNew, nil
		}
		t.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, idNew, ctx.Err()
		}
	}
}

// keep ends the claim: the event is durable as that leaf.
func (c *claim) keep(leaf uint64) {
	c.t.put(c.key, idEntry{c.content, leaf, time.Now().UTC().Format(time.DateOnly)})
	c.drop()
}

// drop ends the claim: the event was not recorded.
func (c *claim) drop() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	delete(c.t.busy, c.key)
	close(c.wait)
	// Claims end in any order, so only while none is under way is all that is durable also in the file.
	if size := c.t.log.Size(); len(c.t.busy) == 0 && c.t.unmarked >= markEvery && size > 0 {
		c.t.mark(size)
	}
}

func (t *idTable) put(key [32]byte, e idEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[key] = e
	t.unmarked++
	t.append(key, e)
}

// mark notes that the file has every submitted event below size.
func (t *idTable) mark(size uint64) {
	t.unmarked = 0
	t.append(markKey, idEntry{leaf: size - 1, day: time.Now().UTC().Format(time.DateOnly)})
}

// append writes to the day's file. It is not synced: what a crash loses is read from the log again. A file that fails is
// left alone until the next start, the table in memory goes on.
func (t *idTable) append(key [32]byte, e idEntry) {
	if t.failed != nil {
		return
	}
	if t.day != e.day {
		if t.failed = t.roll(e.day); t.failed != nil {
			return
		}
	}
	b := make([]byte, 0, idEntrySize)
	b = append(append(b, key[:]...), e.content[:]...)
	b = binary.BigEndian.AppendUint64(b, e.leaf)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	if _, err := t.file.Write(b); err != nil {
		t.failed = err
	}
}

// roll opens the day's file, cuts a torn entry off its end, and forgets days that are over.
func (t *idTable) roll(day string) error {
	if t.file != nil {
		if err := t.file.Close(); err != nil {
			return err
		}
		t.file = nil
	}
	name := path.Join(t.dir, day+".ids")
	f, err := t.fs.OpenAppend(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = t.fs.Create(name)
	}
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil && size%idEntrySize != 0 {
		err = f.Truncate(size - size%idEntrySize)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	t.file, t.day = f, day
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return err
	}
	oldest := d.AddDate(0, 0, -idDays).Format(time.DateOnly)
	for k, e := range t.known {
		if e.day < oldest {
			delete(t.known, k)
		}
	}
	return nil
}

func (t *idTable) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	err := errors.Join(t.file.Sync(), t.file.Close())
	t.file = nil
	return err
}
