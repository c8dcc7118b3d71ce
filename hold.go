package steno

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// holder says how much of an answer may be shown before the record of its end is durable: of a plain one nothing up to
// 64 KiB, then all but the last byte; of a stream whole events, but not the one that ends it, nor one that may. It knows
// the terminal events of the common formats; of a stream that it does not know the last event is always held.
type holder struct {
	framing int
	kept    []byte // what belongs to no whole event yet
	taken   int64  // bytes before kept
	last    int64  // where the last whole event begins
	known   bool   // its grammar is one of the below
	hold    int64  // where what is held begins; -1: nothing is
	final   bool   // that is the stream's end
}

const (
	holdPlain = iota
	holdSSE
	holdLines
	holdFrames // Amazon's event stream
	holdByte   // a stream without events: only its last byte is held
	holdRead   // a compressed stream: what came last is held
)

const holdWhole = 64 << 10

func newHolder(contentType, path string) *holder {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	h := &holder{hold: -1}
	switch strings.TrimSpace(media) {
	case "text/event-stream":
		h.framing = holdSSE
	case "application/x-ndjson", "application/jsonl", "application/stream+json", "application/json-seq":
		h.framing = holdLines
	case "application/vnd.amazon.eventstream":
		h.framing = holdFrames
	case "application/json":
		if strings.Contains(path, ":stream") {
			h.framing = holdByte
		}
	}
	return h
}

// feed takes the next bytes and returns how many, from the start of the answer, may be shown.
func (h *holder) feed(p []byte) int64 {
	switch h.framing {
	case holdRead:
		h.taken += int64(len(p))
		return h.taken - int64(len(p))
	case holdPlain, holdByte:
		h.taken += int64(len(p))
		if h.framing == holdPlain && h.taken <= holdWhole {
			return 0
		}
		return h.taken - 1
	}
	h.kept = append(h.kept, p...)
	from := 0
	for {
		n := h.unit(h.kept[from:])
		if n <= 0 {
			break
		}
		h.event(h.kept[from : from+n])
		h.last = h.taken
		h.taken += int64(n)
		from += n
	}
	h.kept = append(h.kept[:0], h.kept[from:]...)
	switch {
	case h.hold >= 0:
		return h.hold
	case h.known:
		return h.taken
	}
	return h.last
}

// unit is the length of the first whole event; 0: there is none yet.
func (h *holder) unit(b []byte) int {
	switch h.framing {
	case holdLines:
		return bytes.IndexByte(b, '\n') + 1
	case holdFrames:
		if len(b) < 4 {
			return 0
		}
		n := int64(binary.BigEndian.Uint32(b))
		if n < 16 { // no frame has so little: from here on it is all one
			return 0
		}
		if int64(len(b)) < n {
			return 0
		}
		return int(n)
	}
	for i := 0; i < len(b); i++ { // an empty line ends it; lines end in LF, CR LF or CR
		if b[i] != '\n' && b[i] != '\r' {
			continue
		}
		next := i + 1
		if b[i] == '\r' && next < len(b) && b[next] == '\n' {
			next++
		}
		if next < len(b) && (b[next] == '\n' || b[next] == '\r') {
			next++
			if b[next-1] == '\r' && next < len(b) && b[next] == '\n' {
				next++
			}
			return next
		}
	}
	return 0
}

// The marks of a stream's end. JSON escapes a quote inside a string, so words of an answer cannot hold one of them.
var (
	knownMarks = []string{`"chat.completion.chunk"`, `"message_start"`, `"response.created"`, `"response.in_progress"`, `"text_completion"`, `"done":false`, `"done": false`}
	finalMarks = []string{
		"data: [DONE]", "data:[DONE]", `"type":"message_stop"`, `"type": "message_stop"`, "event: message_stop", `"type":"response.completed"`, `"type": "response.completed"`,
		"event: response.completed", `"type":"response.incomplete"`, `"type":"response.failed"`, "event: response.incomplete", "event: response.failed",
		`"done":true`, `"done": true`, `"type":"error"`, "event: error", `{"error"`,
	}
	softMarks = []string{`"finish_reason":"`, `"finish_reason": "`, `"finishReason"`, `"stop_reason":"`}
)

func marked(b []byte, marks []string) bool {
	for _, m := range marks {
		if bytes.Contains(b, []byte(m)) {
			return true
		}
	}
	return false
}

// event looks at one whole event that begins at taken.
func (h *holder) event(b []byte) {
	if h.final {
		return
	}
	h.known = h.known || h.framing != holdFrames && marked(b, knownMarks)
	switch {
	case h.framing == holdFrames:
	case marked(b, finalMarks):
		h.final = true
		if h.hold < 0 {
			h.hold = h.taken
		}
	case marked(b, softMarks):
		if h.hold < 0 {
			h.hold = h.taken
		}
	default:
		h.hold = -1 // what looked like an end was none
	}
}
