package steno

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// verifyBytes checks one file by what it begins with.
func verifyBytes(ctx context.Context, name string, at io.ReaderAt, size int64, o VerifyOptions) (*Report, error) {
	var magic [8]byte
	n, err := at.ReadAt(magic[:], 0)
	if n == len(magic) && (magic == segmentMagic || strings.HasSuffix(name, ".seg")) {
		return verifySegment(ctx, name, at, size, o)
	}
	if err != nil && n == 0 && size > 0 {
		return nil, err
	}
	if size > 0 && size <= maxCheckpointSize {
		b := make([]byte, size)
		if _, err := at.ReadAt(b, 0); err != nil {
			return nil, err
		}
		if c, err := peekCheckpoint(b); err == nil {
			return verifyCheckpoint(name, b, c, o)
		}
	}
	return nil, fmt.Errorf("it is neither a segment (it would begin with %q) nor a signed checkpoint", segmentMagic)
}

// verifySegment checks one segment. What is before it is taken from its state frame.
func verifySegment(ctx context.Context, name string, at io.ReaderAt, size int64, o VerifyOptions) (*Report, error) {
	v := newVerifier(newReport(name), o)
	v.seeded = true
	kept, err := readRemembered(o.Remember)
	if err != nil {
		return nil, err
	}
	file := segmentFile{name: name, size: size}
	file.head, file.headErr = readHeader(at, size)
	if why := file.headErr; why != nil {
		v.r.broken(Where{File: name, To: min(size, SegmentHeaderSize)}, "%v. Without the header nothing else in the file can be checked", why)
		v.r.unsure(Where{}, "nothing of the segment could be read")
		return v.r.finish(), nil
	}
	file.first = file.head.FirstLeaf
	var created *LogCreated
	if file.first == 0 {
		created = readCreated(at)
	}
	if err := v.trust(created, claimedOrigin(o.Checkpoint), kept); err != nil {
		return nil, err
	}
	v.watch()
	v.header(file, file.head.Number)
	v.tree.lose(file.first)
	v.total = size
	w := &frameReader{at: at, to: size, head: file.head}
	end, _ := w.lastCommit(SegmentHeaderSize)
	if end == SegmentHeaderSize {
		end = size // all of it is judged: there is no whole group to end it
	}
	s := &segmentCheck{v: v, name: name, head: file.head, at: at, until: noNext}
	if err := s.run(ctx, end); err != nil {
		return nil, err
	}
	v.r.Counts.Segments = 1
	if end < size {
		v.r.unsure(Where{File: name, From: end, To: size}, "the segment ends in %d bytes that form no whole group: superseded by another segment, cut short by a crash, or damaged", size-end)
	}
	// A checkpoint beyond the segment, or before it, says nothing of it.
	inside := v.anchors[:0]
	for _, a := range v.anchors {
		if a.c.Size > file.first && a.c.Size <= v.tree.size {
			inside = append(inside, a)
		} else {
			v.r.note("%s covers %d leaves, and says nothing of a segment with leaves %d to %d", a.what, a.c.Size, file.first, v.tree.size)
		}
	}
	v.anchors = inside
	v.finish()
	v.r.skipped("the other segments of the log: what stands before this one was taken from its state frame")
	v.r.unsure(Where{}, "one segment cannot show that a log is complete")
	return v.r.finish(), nil
}

// verifyCheckpoint checks a checkpoint by itself, and against those that the caller knows.
func verifyCheckpoint(name string, signed []byte, c Checkpoint, o VerifyOptions) (*Report, error) {
	v := newVerifier(newReport(name), o)
	kept, err := readRemembered(o.Remember)
	if err != nil {
		return nil, err
	}
	if err := v.trust(nil, c.Origin, kept); err != nil {
		return nil, err
	}
	known := v.anchors
	if v.key == nil {
		v.r.Integrity = Opinion{Verdict: Holds, Findings: []Fault{}}
		v.r.doubt(Where{File: name}, "a checkpoint alone can be checked only against a key that is known from elsewhere")
	} else {
		v.anchor("the checkpoint", name, signed, true)
	}
	r := v.r
	r.Size, r.Root = c.Size, hexOf(c.Root)
	for _, a := range known {
		switch {
		case a.c.Size == c.Size && a.c.Root != c.Root:
			r.broken(Where{File: name}, "%s has another root at the same size: the log was forked", a.what)
		case a.c.Size != c.Size:
			r.doubt(Where{File: name}, "%s covers %d leaves, this one %d: whether they agree only the log itself can show", a.what, a.c.Size, c.Size)
		}
	}
	if r.Integrity.Verdict == Holds {
		r.Signed = &SignedAt{Size: c.Size, Root: r.Root}
	}
	r.skipped("the log: a checkpoint says how many leaves there were and what their root was, no more")
	r.unsure(Where{}, "a checkpoint cannot show that a log is complete")
	return r.finish(), nil
}
