package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/seal"
)

func readIdentity(dir string) (identity, error) {
	var id identity
	b, err := os.ReadFile(filepath.Join(dir, "steno.json"))
	if err != nil {
		return id, fmt.Errorf("couldn't read which log lies in %s: %w", dir, err)
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, fmt.Errorf("%s/steno.json is damaged: %w", dir, err)
	}
	return id, nil
}

// textCheck opens every section of every record and checks it against its commitment. It reads segments as they lie, so
// that it works beside a running server.
func textCheck(dir string, keys *seal.Keys) (func(uint64, *steno.Leaf, []byte) error, func(), error) {
	r := &segmentReader{dir: filepath.Join(dir, "journal")}
	if err := r.list(); err != nil {
		return nil, nil, err
	}
	const all = steno.SectionIdentity | steno.SectionPrompt | steno.SectionContext | steno.SectionOutput | steno.SectionMetadata
	check := func(_ uint64, l *steno.Leaf, body []byte) error {
		o, err := keys.Open(l, body, r.read, all)
		if err != nil {
			return err
		}
		if len(o.Missing) > 0 {
			return fmt.Errorf("%d pieces do not open: %w", len(o.Missing), seal.ErrErased)
		}
		return nil
	}
	return check, r.close, nil
}

// segmentReader reads single records out of segment files. Offsets of the segment in use are found by one walk over its
// frame headers.
type segmentReader struct {
	dir    string
	firsts []uint64
	file   *os.File
	first  uint64
	at     []int64 // of each leaf frame
}

func (r *segmentReader) list() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("couldn't list the segments: %w", err)
	}
	r.firsts = nil
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".seg")
		if !ok {
			continue
		}
		if first, err := strconv.ParseUint(name, 16, 64); err == nil {
			r.firsts = append(r.firsts, first)
		}
	}
	return nil
}

func (r *segmentReader) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

func (r *segmentReader) read(index uint64) (*steno.Leaf, []byte, error) {
	i := sort.Search(len(r.firsts), func(i int) bool { return r.firsts[i] > index }) - 1
	if i < 0 {
		return nil, nil, fmt.Errorf("leaf %d is in no segment", index)
	}
	if r.file == nil || r.first != r.firsts[i] || index-r.first >= uint64(len(r.at)) {
		if err := r.open(r.firsts[i]); err != nil {
			return nil, nil, err
		}
	}
	if index-r.first >= uint64(len(r.at)) {
		return nil, nil, fmt.Errorf("leaf %d is not in its segment", index)
	}
	at := r.at[index-r.first]
	raw, at, err := r.frame(at, steno.FrameLeaf)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := steno.ParseLeaf(raw)
	if err != nil || leaf.BodyLength == 0 {
		return leaf, nil, err
	}
	body, _, err := r.frame(at, steno.FrameBody)
	return leaf, body, err
}

func (r *segmentReader) open(first uint64) error {
	r.close()
	f, err := os.Open(filepath.Join(r.dir, fmt.Sprintf("%016x.seg", first)))
	if err != nil {
		return fmt.Errorf("couldn't open a segment: %w", err)
	}
	r.file, r.first, r.at = f, first, r.at[:0]
	at := int64(steno.SegmentHeaderSize)
	for {
		var b [steno.FrameHeaderSize]byte
		switch _, err := f.ReadAt(b[:], at); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("couldn't read a segment: %w", err)
		}
		h, err := steno.ParseFrameHeader(b[:])
		if err != nil {
			return nil //nolint:nilerr // a tear, which verify reports; what stands before it can be read
		}
		if h.Type == steno.FrameLeaf {
			r.at = append(r.at, at)
		}
		at += int64(steno.FrameSize(h.Length))
	}
}

func (r *segmentReader) frame(at int64, want steno.FrameType) ([]byte, int64, error) {
	var b [steno.FrameHeaderSize]byte
	if _, err := r.file.ReadAt(b[:], at); err != nil {
		return nil, 0, fmt.Errorf("couldn't read a frame: %w", err)
	}
	h, err := steno.ParseFrameHeader(b[:])
	if err == nil && h.Type != want {
		err = errors.New("another frame stands there")
	}
	if err != nil {
		return nil, 0, err
	}
	payload := make([]byte, h.Length)
	if _, err := r.file.ReadAt(payload, at+steno.FrameHeaderSize); err != nil {
		return nil, 0, fmt.Errorf("couldn't read a frame: %w", err)
	}
	return payload, at + int64(steno.FrameSize(h.Length)), nil
}
