package steno

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// Everything in this file is part of the format described byte by byte in docs/format.md. It must not change; a
// new layout takes a new version byte. All integers are big-endian.

// FormatVersion is the version byte of leaves and segments.
const FormatVersion = 1

// Sizes, in bytes.
const (
	SegmentHeaderSize = 64
	FrameHeaderSize   = 12
	CommitSize        = 72
	LeafFixedSize     = 160   // before the commitments
	MaxLeafSize       = 65535 // the limit of tlog-tiles' entry bundles
	MaxBodySize       = 1 << 30
	MaxChunkPlain     = 256 << 10
	ChunkHeaderSize   = 12
	ChunkOverhead     = ChunkHeaderSize + 16
)

// LogID names a log inside its own frames: the first 16 bytes of SHA-256 of its origin.
type LogID [16]byte

// NewLogID derives the id from the origin line of the log's checkpoints.
func NewLogID(origin string) LogID {
	h := sha256.Sum256([]byte(origin))
	return LogID(h[:16])
}

// Log is one of the six logs.
type Log uint8

// The six logs. Values are part of the format; 0 means that the log is told only inside the sealed sections.
const (
	LogSealed Log = iota
	LogInference
	LogLineage
	LogSecurity
	LogGovernance
	LogCompliance
	LogMonitoring
)

var logNames = [...]string{"sealed", "inference", "lineage", "security", "governance", "compliance", "monitoring"}

func (l Log) String() string {
	if int(l) < len(logNames) {
		return logNames[l]
	}
	return fmt.Sprintf("log(%d)", uint8(l))
}

// LeafFlags are the public flags of a record.
type LeafFlags uint16

// The flags. Opens, continues and closes tell what an exchange needs to be complete, and no more.
const (
	FlagImported   LeafFlags = 1 << iota
	FlagPublicOnly           // nothing sealed: what it says stands in the leaf
	FlagOpens                // first record of its exchange
	FlagContinues            // a part of a long answer
	FlagCloses               // last record of its exchange
	knownFlags     = 1<<iota - 1
)

// Section is a bit of a leaf's section bitmap.
type Section uint16

// The sections of a record.
const (
	SectionIdentity Section = 1 << iota // fields
	SectionPrompt                       // a list of pieces
	SectionContext                      // fields
	SectionOutput                       // a list of pieces
	SectionMetadata                     // fields
	knownSections   = 1<<iota - 1
)

// Sections lists them in the order of their commitments.
var Sections = []Section{SectionIdentity, SectionPrompt, SectionContext, SectionOutput, SectionMetadata}

// IsList says whether the section is a list of pieces rather than fields.
func (s Section) IsList() bool { return s == SectionPrompt || s == SectionOutput }

func (s Section) String() string {
	switch s {
	case SectionIdentity:
		return "identity"
	case SectionPrompt:
		return "prompt"
	case SectionContext:
		return "context"
	case SectionOutput:
		return "output"
	case SectionMetadata:
		return "metadata"
	}
	return fmt.Sprintf("section(%d)", uint16(s))
}

// Leaf is one entry of the log: all that is public of a record. Its encoding is what the Merkle tree covers.
type Leaf struct {
	Log         Log
	Type        uint16 // a public record's type (see PublicType); 0 for sealed records
	Flags       LeafFlags
	Sections    Section // bitmap
	WrittenAt   int64   // unix ns, set by the writer, never decreasing
	SourceAt    int64   // unix ns, as claimed
	Record      ID
	Source      [16]byte // random per start of a recorder
	Number      uint64   // the source's own count, from 1, without holes
	Exchange    ID
	Seal        [16]byte // random per sealing; the first six bytes are the record's slot in the key tree
	KeyRef      [16]byte
	DayKey      uint32
	BodyLength  uint64
	BodyHash    [32]byte
	Commitments [][32]byte // one per bit of Sections, lowest bit first
	Public      []byte     // deterministic CBOR
}

// ErrLeaf is wrapped by the errors of ParseLeaf.
var ErrLeaf = errors.New("not a leaf of format 1")

// Append appends the encoding of the leaf to b.
func (l *Leaf) Append(b []byte) []byte {
	b = append(b, FormatVersion, byte(l.Log))
	b = binary.BigEndian.AppendUint16(b, l.Type)
	b = binary.BigEndian.AppendUint16(b, uint16(l.Flags))
	b = binary.BigEndian.AppendUint16(b, uint16(l.Sections))
	b = binary.BigEndian.AppendUint64(b, uint64(l.WrittenAt))
	b = binary.BigEndian.AppendUint64(b, uint64(l.SourceAt))
	b = append(b, l.Record[:]...)
	b = append(b, l.Source[:]...)
	b = binary.BigEndian.AppendUint64(b, l.Number)
	b = append(b, l.Exchange[:]...)
	b = append(b, l.Seal[:]...)
	b = append(b, l.KeyRef[:]...)
	b = binary.BigEndian.AppendUint32(b, l.DayKey)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, l.BodyLength)
	b = append(b, l.BodyHash[:]...)
	for i := range l.Commitments {
		b = append(b, l.Commitments[i][:]...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.Public)))
	return append(b, l.Public...)
}

// Size returns the length of the encoding.
func (l *Leaf) Size() int { return LeafFixedSize + 32*len(l.Commitments) + 2 + len(l.Public) }

// ParseLeaf reads what Append writes and refuses everything else: every byte is accounted for, so that there is
// one encoding of a leaf. The result shares no memory with b.
func ParseLeaf(b []byte) (*Leaf, error) {
	if len(b) < LeafFixedSize+2 {
		return nil, fmt.Errorf("%w: %d bytes, at least %d are needed", ErrLeaf, len(b), LeafFixedSize+2)
	}
	if len(b) > MaxLeafSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrLeaf, len(b), MaxLeafSize)
	}
	if b[0] != FormatVersion {
		return nil, fmt.Errorf("%w: version %d", ErrLeaf, b[0])
	}
	be := binary.BigEndian
	l := &Leaf{
		Log: Log(b[1]), Type: be.Uint16(b[2:]), Flags: LeafFlags(be.Uint16(b[4:])), Sections: Section(be.Uint16(b[6:])),
		WrittenAt: int64(be.Uint64(b[8:])), SourceAt: int64(be.Uint64(b[16:])),
		Record: ID(b[24:40]), Source: [16]byte(b[40:56]), Number: be.Uint64(b[56:]), Exchange: ID(b[64:80]),
		Seal: [16]byte(b[80:96]), KeyRef: [16]byte(b[96:112]), DayKey: be.Uint32(b[112:]),
		BodyLength: be.Uint64(b[120:]), BodyHash: [32]byte(b[128:160]),
	}
	switch {
	case l.Log > LogMonitoring:
		return nil, fmt.Errorf("%w: log %d is unknown", ErrLeaf, l.Log)
	case l.Type > 255:
		return nil, fmt.Errorf("%w: type %d is unknown", ErrLeaf, l.Type)
	case l.Flags&^knownFlags != 0:
		return nil, fmt.Errorf("%w: flags %#x are unknown", ErrLeaf, uint16(l.Flags&^knownFlags))
	case l.Sections&^knownSections != 0:
		return nil, fmt.Errorf("%w: sections %#x are unknown", ErrLeaf, uint16(l.Sections&^knownSections))
	case be.Uint32(b[116:]) != 0:
		return nil, fmt.Errorf("%w: reserved bytes are set", ErrLeaf)
	case l.BodyLength > MaxBodySize:
		return nil, fmt.Errorf("%w: body of %d bytes, at most %d are allowed", ErrLeaf, l.BodyLength, MaxBodySize)
	}
	n := bits.OnesCount16(uint16(l.Sections))
	end := LeafFixedSize + 32*n
	if len(b) < end+2 {
		return nil, fmt.Errorf("%w: %d bytes, %d commitments do not fit", ErrLeaf, len(b), n)
	}
	l.Commitments = make([][32]byte, n)
	for i := range n {
		l.Commitments[i] = [32]byte(b[LeafFixedSize+32*i:])
	}
	if pub := int(be.Uint16(b[end:])); len(b) != end+2+pub {
		return nil, fmt.Errorf("%w: %d bytes, its public part says %d", ErrLeaf, len(b), end+2+pub)
	}
	l.Public = append([]byte(nil), b[end+2:]...)
	return l, nil
}

// Commitment returns the commitment of one section.
func (l *Leaf) Commitment(s Section) ([32]byte, bool) {
	if l.Sections&s == 0 {
		return [32]byte{}, false
	}
	return l.Commitments[bits.OnesCount16(uint16(l.Sections&(s-1)))], true
}

// FrameType tells what a frame holds.
type FrameType uint8

// The frames of a segment.
const (
	FrameLeaf   FrameType = 1
	FrameBody   FrameType = 2 // its checksum covers the header only: the body has a hash in the leaf
	FrameCommit FrameType = 3
	FrameState  FrameType = 4 // first frame of a segment: what recovery must know of all that is before
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SegmentHeader is the first 64 bytes of a segment.
type SegmentHeader struct {
	Log       LogID
	Number    uint64   // counts segments of the log, from 0
	FirstLeaf uint64   // index of its first leaf; ends the segment before it
	Root      [12]byte // first bytes of the tree's root at FirstLeaf leaves
}

var segmentMagic = [8]byte{'S', 'T', 'E', 'N', 'O', 'S', 'E', 'G'}

// ErrSegment is wrapped by the errors of ParseSegmentHeader and ParseFrameHeader.
var ErrSegment = errors.New("not a segment of format 1")

// Append appends the encoding.
func (h *SegmentHeader) Append(b []byte) []byte {
	at := len(b)
	b = append(b, segmentMagic[:]...)
	b = append(b, FormatVersion, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, h.Log[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Number)
	b = binary.BigEndian.AppendUint64(b, h.FirstLeaf)
	b = append(b, h.Root[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// ParseSegmentHeader reads what Append writes.
func ParseSegmentHeader(b []byte) (SegmentHeader, error) {
	var h SegmentHeader
	switch {
	case len(b) < SegmentHeaderSize:
		return h, fmt.Errorf("%w: %d bytes, a header has %d", ErrSegment, len(b), SegmentHeaderSize)
	case [8]byte(b) != segmentMagic:
		return h, fmt.Errorf("%w: it does not begin with %q", ErrSegment, segmentMagic)
	case b[8] != FormatVersion:
		return h, fmt.Errorf("%w: version %d", ErrSegment, b[8])
	case [7]byte(b[9:]) != [7]byte{}:
		return h, fmt.Errorf("%w: reserved bytes are set", ErrSegment)
	case binary.BigEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli):
		return h, fmt.Errorf("%w: the header's checksum is wrong", ErrSegment)
	}
	copy(h.Log[:], b[16:])
	h.Number = binary.BigEndian.Uint64(b[32:])
	h.FirstLeaf = binary.BigEndian.Uint64(b[40:])
	copy(h.Root[:], b[48:])
	return h, nil
}

// AppendFrame appends a frame with its padding. offset is where in the segment file it will stand.
func AppendFrame(b []byte, h *SegmentHeader, offset int64, t FrameType, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, byte(t), 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, frameSum(h, offset, b[len(b)-8:], t, payload))
	b = append(b, payload...)
	for range framePad(len(payload)) {
		b = append(b, 0)
	}
	return b
}

// FrameSize returns the bytes that a frame with a payload of n bytes takes, header and padding included.
func FrameSize(n int) int { return FrameHeaderSize + n + framePad(n) }

func framePad(n int) int { return -(FrameHeaderSize + n) & 7 }

// frameSum is seeded with the place of the frame, so that bytes left by another file or another offset never pass.
func frameSum(h *SegmentHeader, offset int64, header []byte, t FrameType, payload []byte) uint32 {
	var seed [32]byte
	copy(seed[:16], h.Log[:])
	binary.BigEndian.PutUint64(seed[16:], h.Number)
	binary.BigEndian.PutUint64(seed[24:], uint64(offset))
	c := crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, header)
	if t != FrameBody {
		c = crc32.Update(c, castagnoli, payload)
	}
	return c
}

// FrameHeader is the head of a frame.
type FrameHeader struct {
	Length int // of the payload
	Type   FrameType
	sum    uint32
	raw    [8]byte
}

// ParseFrameHeader reads the first 12 bytes of a frame; the checksum is checked by Check, when the payload is there.
func ParseFrameHeader(b []byte) (FrameHeader, error) {
	var h FrameHeader
	if len(b) < FrameHeaderSize {
		return h, fmt.Errorf("%w: a frame's header has %d bytes, %d are left", ErrSegment, FrameHeaderSize, len(b))
	}
	n := binary.BigEndian.Uint32(b)
	t := FrameType(b[4])
	if t < FrameLeaf || t > FrameState || b[5] != 0 || b[6] != 0 || b[7] != 0 {
		return h, fmt.Errorf("%w: no frame has the header % x", ErrSegment, b[:8])
	}
	if n > MaxBodySize || (t == FrameLeaf && n > MaxLeafSize) || (t == FrameCommit && n != CommitSize) {
		return h, fmt.Errorf("%w: a frame of type %d with %d bytes", ErrSegment, t, n)
	}
	h = FrameHeader{Length: int(n), Type: t, sum: binary.BigEndian.Uint32(b[8:]), raw: [8]byte(b)}
	return h, nil
}

// Check reports whether the checksum fits: over header and payload, or over the header alone for a body.
func (f *FrameHeader) Check(h *SegmentHeader, offset int64, payload []byte) bool {
	return f.sum == frameSum(h, offset, f.raw[:], f.Type, payload)
}

// Commit ends a group: what is before it in the segment counts once it stands there.
type Commit struct {
	FirstLeaf  uint64
	Count      uint32
	Tree       uint32 // 0 until there are several trees in a log
	Size       uint64 // of the tree, after the group
	Root       [32]byte
	WrittenAt  int64
	GroupBytes uint32 // of the frames before this one
	Clock      ClockState
}

// Append appends the encoding.
func (c *Commit) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, c.FirstLeaf)
	b = binary.BigEndian.AppendUint32(b, c.Count)
	b = binary.BigEndian.AppendUint32(b, c.Tree)
	b = binary.BigEndian.AppendUint64(b, c.Size)
	b = append(b, c.Root[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.WrittenAt))
	b = binary.BigEndian.AppendUint32(b, c.GroupBytes)
	return binary.BigEndian.AppendUint32(b, uint32(c.Clock))
}

// ParseCommit reads what Append writes.
func ParseCommit(b []byte) (Commit, error) {
	if len(b) != CommitSize {
		return Commit{}, fmt.Errorf("%w: a commit has %d bytes, not %d", ErrSegment, CommitSize, len(b))
	}
	be := binary.BigEndian
	c := Commit{
		FirstLeaf: be.Uint64(b), Count: be.Uint32(b[8:]), Tree: be.Uint32(b[12:]), Size: be.Uint64(b[16:]),
		Root: [32]byte(b[24:]), WrittenAt: int64(be.Uint64(b[56:])), GroupBytes: be.Uint32(b[64:]), Clock: ClockState(be.Uint32(b[68:])),
	}
	if c.Tree != 0 || c.Count == 0 || c.Size != c.FirstLeaf+uint64(c.Count) {
		return c, fmt.Errorf("%w: a commit of leaves %d+%d to size %d in tree %d", ErrSegment, c.FirstLeaf, c.Count, c.Size, c.Tree)
	}
	return c, nil
}

// ClockState says what the kernel knew of its clock: bit 31 known, bit 30 synchronized, the rest the maximum error
// in microseconds (all ones: that or more).
type ClockState uint32

// NewClockState packs a reading.
func NewClockState(synchronized bool, maxErrorMicros int64) ClockState {
	c := ClockState(min(max(maxErrorMicros, 0), 1<<30-1)) | 1<<31
	if synchronized {
		c |= 1 << 30
	}
	return c
}

// Known says whether the kernel was asked and answered.
func (c ClockState) Known() bool { return c&(1<<31) != 0 }

// Synchronized says whether the kernel held its clock to be synchronized.
func (c ClockState) Synchronized() bool { return c.Known() && c&(1<<30) != 0 }

// MaxErrorMicros is the kernel's bound on the clock's error.
func (c ClockState) MaxErrorMicros() int64 { return int64(c & (1<<30 - 1)) }
