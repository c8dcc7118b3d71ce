package dialect

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes of a frame of application/vnd.amazon.eventstream: lengths and their checksum, headers, payload, checksum.
const (
	framePrelude  = 12
	frameOverhead = framePrelude + 4
	maxFrame      = 24 << 20 // AWS allows 16 MiB of payload and 128 KiB of headers
)

// frames is what a stream of such frames remembers.
type frames struct {
	wrong  int    // frames whose checksum, or whose headers, are wrong
	lost   bool   // lengths that cannot be: where the next frame begins is not known
	raised string // the kind of exception that the current frame is
}

// nextFrame reads one frame of src. One with a wrong checksum is read all the same: the client gets it too, and what it
// makes of it is not known. Once lengths cannot be right, all but the last byte passes, and no end will be seen.
func (s *Stream) nextFrame(src []byte) bool {
	b := src[s.from-s.base:]
	if s.frames.lost {
		s.from += max(len(b)-1, 0)
		return false
	}
	if len(b) < framePrelude {
		return false
	}
	size, headers := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if size < frameOverhead || size > maxFrame || headers > size-frameOverhead {
		s.frames.lost = true
		return true
	}
	if uint32(len(b)) < size {
		return false
	}
	b = b[:size]
	kind, name, ok := frameHeaders(b[framePrelude : framePrelude+headers])
	if !ok || crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) ||
		crc32.ChecksumIEEE(b[:size-4]) != binary.BigEndian.Uint32(b[size-4:]) {
		s.frames.wrong++
	}
	s.name, s.frames.raised = append(s.name[:0], name...), ""
	if kind == "exception" || kind == "error" {
		s.frames.raised = clip(name, maxName)
	}
	payload := b[framePrelude+headers : size-4]
	if len(payload) == 0 {
		payload = []byte("{}") // an error says all in its headers
	}
	s.payload(payload, s.from+int(framePrelude+headers), s.from+int(size))
	return true
}

// frameSizes are the sizes of a header's value by its type; -1: two bytes before it say so.
var frameSizes = [...]int{0, 0, 1, 2, 4, 8, -1, -1, 8, 16}

// frameHeaders finds what kind of message a frame is, and of which type; not ok where they are not made as they have to be.
func frameHeaders(b []byte) (kind string, name []byte, ok bool) {
	for len(b) > 0 {
		n := int(b[0])
		if len(b) < n+2 || int(b[n+1]) >= len(frameSizes) {
			return kind, name, false
		}
		key, size := string(b[1:n+1]), frameSizes[b[n+1]]
		b = b[n+2:]
		if size < 0 {
			if len(b) < 2 {
				return kind, name, false
			}
			size = int(binary.BigEndian.Uint16(b))
			b = b[2:]
		}
		if len(b) < size {
			return kind, name, false
		}
		switch key {
		case ":message-type":
			kind = string(b[:size])
		case ":event-type", ":exception-type", ":error-code":
			name = b[:size]
		}
		b = b[size:]
	}
	return kind, name, true
}

// problem says what is odd in the frames, "" if nothing is.
func (f *frames) problem() string {
	switch {
	case f.lost:
		return "the stream is not made of frames from some byte on"
	case f.wrong > 0:
		return "frames of the stream have a wrong checksum or headers"
	}
	return ""
}
