package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

const (
	segmentSuffix       = ".seg"
	unfinishedSuffix    = ".tmp"
	defaultSegmentBytes = 64 << 20
	offsetEvery         = 64 // one offset is kept for so many leaves
)

func segmentName(first uint64) string { return fmt.Sprintf("%016x%s", first, segmentSuffix) }

// parseSegmentName returns the first leaf that a file's name stands for. Other files in the directory are ignored.
func parseSegmentName(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	first, err := strconv.ParseUint(hex, 16, 64)
	return first, err == nil && segmentName(first) == name
}

// segment is the one that is being written. It has its name only once header and state are durable, so that a name
// always stands for a usable segment.
type segment struct {
	fs     disk.FS
	path   string // under which it will be, or is, found
	header steno.SegmentHeader
	file   disk.File
	end    int64   // where the next frame will stand
	marks  []int64 // offsets of every 64th leaf in it
	leaves uint64  // in it
}

// newSegment writes header and state frame into a file that has no segment's name yet. One left by an earlier
// attempt is replaced by another file: its pages may be the ones a failed sync has left.
func newSegment(fsys disk.FS, dir string, log steno.LogID, number uint64, state *steno.State) (*segment, error) {
	s := &segment{fs: fsys, path: filepath.Join(dir, segmentName(state.Size))}
	root := state.Root()
	s.header = steno.SegmentHeader{Log: log, Number: number, FirstLeaf: state.Size, Root: [12]byte(root[:12])}
	tmp := s.path + unfinishedSuffix
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &FailedError{"remove", tmp, err}
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return nil, &FailedError{"create", tmp, err}
	}
	s.file = f
	b := s.header.Append(nil)
	b = steno.AppendFrame(b, &s.header, int64(len(b)), steno.FrameState, state.Append(nil))
	if err := s.write(b); err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

// install makes the segment durable and gives it its name, over a superseded one of the same name if there is one.
func (s *segment) install() error {
	if err := s.sync(); err != nil { // durable: header, state and copied groups, before any name leads to them
		return err
	}
	if err := s.fs.Rename(s.path+unfinishedSuffix, s.path); err != nil { // durable: the segment is found by its name
		return &FailedError{"rename to", s.path, err}
	}
	dir := filepath.Dir(s.path)
	if err := s.fs.SyncDir(dir); err != nil { // durable: the name, before a leaf in the segment is acknowledged
		return &FailedError{"sync the directory", dir, err}
	}
	return nil
}

func (s *segment) write(b []byte) error {
	n, err := s.file.Write(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("only %d of %d bytes were taken", n, len(b))
	}
	if err != nil {
		return &FailedError{"write to", s.path, err}
	}
	s.end += int64(n)
	return nil
}

func (s *segment) sync() error {
	if err := s.file.Sync(); err != nil {
		return &FailedError{"sync", s.path, err}
	}
	return nil
}

// frames collects what goes to the end of a segment in one write.
type frames struct {
	header *steno.SegmentHeader
	at     int64 // offset in the file of the first byte of buf
	buf    []byte
	leaf   uint64  // leaves of the segment before the next one
	marks  []int64 // offsets of every 64th leaf of the segment
}

func (f *frames) reset(s *segment) {
	f.header, f.at, f.buf, f.leaf, f.marks = &s.header, s.end, f.buf[:0], s.leaves, f.marks[:0]
	if cap(f.buf) > 2*maxGroupBytes {
		f.buf = nil // one huge record does not keep its room for ever
	}
}

func (f *frames) end() int64 { return f.at + int64(len(f.buf)) }

func (f *frames) record(leaf, body []byte) {
	if f.leaf%offsetEvery == 0 {
		f.marks = append(f.marks, f.end())
	}
	f.leaf++
	f.buf = steno.AppendFrame(f.buf, f.header, f.end(), steno.FrameLeaf, leaf)
	if len(body) > 0 {
		f.buf = steno.AppendFrame(f.buf, f.header, f.end(), steno.FrameBody, body)
	}
}

func (f *frames) commit(c *steno.Commit) {
	c.GroupBytes = uint32(len(f.buf))
	var b [steno.CommitSize]byte
	f.buf = steno.AppendFrame(f.buf, f.header, f.end(), steno.FrameCommit, c.Append(b[:0]))
}

// wrote takes over what frames knows of the leaves it has put at the end of the segment.
func (s *segment) wrote(f *frames) {
	s.leaves = f.leaf
	s.marks = append(s.marks, f.marks...)
}
