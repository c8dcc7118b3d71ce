package steno

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listSegments returns the segments of a data directory in the order of their leaves, with the sizes they have now.
func listSegments(dir string) ([]segmentFile, error) {
	files, err := os.ReadDir(filepath.Join(dir, "journal"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("couldn't verify %s: it holds no log: no directory journal is in it", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't verify: %w", err)
	}
	var out []segmentFile
	for _, f := range files {
		first, ok := segmentName(f.Name())
		if !ok || !f.Type().IsRegular() {
			continue
		}
		st, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("couldn't verify: %w", err)
		}
		out = append(out, segmentFile{
			name: "journal/" + f.Name(), path: filepath.Join(dir, "journal", f.Name()), first: first, size: st.Size(),
		})
	}
	return out, nil // ReadDir sorts, and all names have the same length
}

func segmentName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	if !ok || len(digits) != 16 || strings.ToLower(digits) != digits {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 16, 64)
	return first, err == nil
}

func verifyDir(ctx context.Context, dir string, o VerifyOptions) (*Report, error) {
	v := newVerifier(newReport(dir), o)
	kept, err := readRemembered(o.Remember)
	if err != nil {
		return nil, err
	}
	// Checkpoints are read before the segments are listed: what they sign was durable then.
	published := v.readCheckpoint(filepath.Join(dir, "checkpoint"))
	anchorName := filepath.Clean(dir) + ".anchor"
	anchored := v.readCheckpoint(filepath.Join(anchorName, "checkpoint"))
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	created := peekCreated(segments)
	if err := v.trust(created, claimedOrigin(published, anchored), kept); err != nil {
		return nil, err
	}
	switch {
	case published != nil:
		v.anchor("the published checkpoint", "checkpoint", published, true)
	case anchored != nil:
		v.r.note("the published checkpoint is missing; the one in %s is used. steno derives it again", anchorName)
	}
	if anchored != nil {
		v.anchor("the anchored checkpoint", filepath.Base(anchorName)+"/checkpoint", anchored, true)
	} else {
		v.r.note("no anchor is at %s: the newest checkpoint ever signed may be newer than the one published", anchorName)
	}
	v.watch()
	t := &tileDir{v: v, dir: dir}
	v.tree.onTile = t.compare
	if err := v.segments(ctx, segments); err != nil {
		return nil, err
	}
	if err := t.finish(ctx); err != nil {
		return nil, err
	}
	v.settings(dir, created)
	v.finish()
	v.others(dir)
	newest := published
	if a, err := peekCheckpoint(anchored); err == nil && v.r.Signed != nil && a.Size == v.r.Signed.Size {
		newest = anchored
	}
	return v.r.finish(), kept.update(v.r, newest)
}

func (v *verifier) readCheckpoint(path string) []byte {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		v.r.doubt(Where{File: path}, "the checkpoint cannot be read: %v", err)
		return nil
	}
	defer f.Close()
	b := make([]byte, maxCheckpointSize+1)
	n, _ := f.ReadAt(b, 0)
	return b[:n]
}

func claimedOrigin(signed ...[]byte) string {
	for _, s := range signed {
		if c, err := peekCheckpoint(s); err == nil {
			return c.Origin
		}
	}
	return ""
}

// peekCreated reads the first leaf of the first segment, which names the log's key. It is checked later.
func peekCreated(segments []segmentFile) *LogCreated {
	if len(segments) == 0 || segments[0].first != 0 {
		return nil
	}
	f, err := os.Open(segments[0].path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return readCreated(f)
}

func readCreated(at io.ReaderAt) *LogCreated {
	b := make([]byte, 2*MaxLeafSize)
	n, _ := at.ReadAt(b, SegmentHeaderSize)
	for b = b[:n]; len(b) >= FrameHeaderSize; {
		h, err := ParseFrameHeader(b)
		if err != nil || FrameSize(h.Length) > len(b) {
			return nil
		}
		if h.Type == FrameLeaf {
			l, err := ParseLeaf(b[FrameHeaderSize : FrameHeaderSize+h.Length])
			c := new(LogCreated)
			if err != nil || l.PublicType() != TypeLogCreated || DecodePublic(l.Public, c) != nil {
				return nil
			}
			return c
		}
		b = b[FrameSize(h.Length):]
	}
	return nil
}

// segments checks all segments in their order.
func (v *verifier) segments(ctx context.Context, files []segmentFile) error {
	if len(files) == 0 {
		v.r.broken(Where{File: "journal"}, "no segment is there: the log is gone")
		return nil
	}
	files, err := v.chain(files)
	if err != nil {
		return err
	}
	for _, s := range files {
		v.total += s.size
	}
	number := uint64(0)
	for i, s := range files {
		until := uint64(noNext)
		if i+1 < len(files) {
			until = files[i+1].first
		}
		if number, err = v.segment(ctx, s, number, until); err != nil {
			return err
		}
		v.done += s.size
		v.r.Counts.Segments++
	}
	if v.o.Progress != nil {
		v.o.Progress(v.done, v.total)
	}
	return nil
}

// chain reads the headers and leaves out the segments that are superseded as a whole: those that begin at or after the
// first leaf of a segment with a higher number. A start of the writer removes them; a crash on its way may not.
func (v *verifier) chain(files []segmentFile) ([]segmentFile, error) {
	for i := range files {
		f, err := os.Open(files[i].path)
		if err != nil {
			return nil, fmt.Errorf("couldn't verify: %w", err)
		}
		files[i].head, files[i].headErr = readHeader(f, files[i].size)
		f.Close()
	}
	var live []segmentFile
	highest := uint64(0) // a number is believed only in a header that is whole and of this log
	for _, s := range files {
		sound := s.headErr == nil && (v.origin == "" || s.head.Log == NewLogID(v.origin))
		if sound && s.head.Number < highest {
			v.r.note("%s is superseded by a later segment and was not looked at", s.name)
			continue
		}
		if sound {
			highest = s.head.Number
		}
		live = append(live, s)
	}
	return live, nil
}

// segment checks one segment, whose number is expected to be at least number, and returns the least for the next.
func (v *verifier) segment(ctx context.Context, s segmentFile, number, until uint64) (uint64, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, fmt.Errorf("couldn't verify: %w", err)
	}
	defer f.Close()
	head := v.header(s, number)
	if v.tree.size != s.first {
		if v.tree.size < s.first {
			v.r.broken(Where{File: s.name}, "leaves %d to %d are missing before this segment", v.tree.size, s.first-1)
		}
		v.gap = true
		v.tree.lose(s.first)
	}
	to := s.size
	if until == noNext {
		to = wholeEnd(f, s.size, head)
	}
	c := &segmentCheck{v: v, name: s.name, head: head, at: f, until: until}
	if err := c.run(ctx, to); err != nil {
		return 0, fmt.Errorf("couldn't verify: %w", err)
	}
	switch {
	case until == noNext && to < s.size:
		v.tear(s, to)
	case until != noNext && v.tree.size < until:
		v.r.broken(Where{File: s.name, From: c.upTo, To: s.size}, "leaves %d to %d should stand here: the next segment begins at leaf %d", v.tree.size, until-1, until)
	case until != noNext && c.upTo < s.size:
		v.r.note("%s: the bytes from %d on are superseded by the next segment and were not looked at", s.name, c.upTo)
	}
	return head.Number + 1, nil
}

// wholeEnd returns where the last whole group of a log's last segment ends, or its state frame if it has no group.
func wholeEnd(f io.ReaderAt, size int64, head SegmentHeader) int64 {
	w := &frameReader{at: f, to: size, head: head}
	if end, _ := w.lastCommit(SegmentHeaderSize); end > SegmentHeaderSize {
		return end
	}
	b := make([]byte, FrameHeaderSize)
	if _, err := f.ReadAt(b, SegmentHeaderSize); err != nil {
		return size
	}
	h, err := ParseFrameHeader(b)
	if end := SegmentHeaderSize + int64(FrameSize(h.Length)); err == nil && h.Type == FrameState && end <= size {
		return end
	}
	return size
}

// tear says that a log ends in bytes that are no whole group. A crash leaves such, and a write under way.
func (v *verifier) tear(s segmentFile, from int64) {
	v.tail = Where{File: s.name, From: from, To: s.size}
	if !v.o.Live {
		v.r.unsure(v.tail, "the log ends in %d bytes that form no whole group: a write that a crash cut short, or damage. Whether anything that was acknowledged stood there cannot be known",
			s.size-from)
	}
}

// finish gives the verdicts that need the whole log.
func (v *verifier) finish() {
	for key, z := range v.zeroed {
		if v.destroyed[key] {
			v.r.Counts.Erased += z.count
		} else {
			v.r.broken(z.first, "%d bodies under day key %d are erased, the first of them here, and no record says that the key was destroyed", z.count, key)
		}
	}
	v.judge()
	if v.gap {
		v.r.unsure(Where{}, "some leaves could not be read; what they said is not known, and may be what is missing here")
	}
	v.book.finish(v.writtenAt, v.o.Live)
	if v.o.Texts == nil {
		v.r.skipped("the sealed texts: without keys only their ciphertext was checked")
	}
	v.r.skipped("whether a record id occurs twice")
}

// settings compares steno.json with the log's first leaf, from which it can be written again.
func (v *verifier) settings(dir string, created *LogCreated) {
	const name = "steno.json"
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		v.r.note("%s is missing; steno writes it again", name)
		return
	}
	var got map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	w := Where{File: name}
	if err != nil {
		v.r.broken(w, "it cannot be read: %v. It can be deleted: steno writes it again", err)
		return
	}
	if created == nil {
		return
	}
	want := map[string]any{"format": FormatVersion, "origin": created.Origin, "vkey": created.VKey, "demo": created.Demo}
	for member, value := range got {
		is, err := json.Marshal(want[member])
		if _, known := want[member]; !known || err != nil || !bytes.Equal(is, value) {
			v.r.broken(w, "its member %q is not what the log's first leaf says. The file can be deleted: steno writes it again", printable(member))
		}
	}
	if got["format"] == nil || got["origin"] == nil {
		v.r.broken(w, "it does not name the log's format and origin. It can be deleted: steno writes it again")
	}
}

// others names what lies in the directory and was not looked at.
func (v *verifier) others(dir string) {
	known := []string{"steno.json", "LOCK", "journal", "checkpoint", "tile"}
	beside := []string{"index", "followers", "spool", "ids", "alerts.jsonl"}
	files, err := os.ReadDir(dir)
	if err != nil {
		v.r.skipped("what else lies in the directory: %v", err)
	}
	for _, f := range files {
		switch n := f.Name(); {
		case slices.Contains(beside, n):
			v.r.skipped("%s: lies beside the log, and is no part of it", n)
		case !slices.Contains(known, n):
			v.r.skipped("%s: no file of a log", n)
		}
	}
	files, err = os.ReadDir(filepath.Join(dir, "journal"))
	if err != nil {
		return
	}
	for _, f := range files {
		if _, ok := segmentName(f.Name()); !ok || !f.Type().IsRegular() {
			v.r.skipped("journal/%s: no segment", f.Name())
		}
	}
}
