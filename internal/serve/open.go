package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
	"github.com/steno-audit/steno/internal/seal"
)

const allSections = steno.SectionIdentity | steno.SectionPrompt | steno.SectionContext | steno.SectionOutput | steno.SectionMetadata

// maxDecoded bounds what a compressed body may become.
const maxDecoded = 64 << 20

// entry is one record as it lies in the log, opened as far as its keys allow.
type entry struct {
	leaf   *steno.Leaf
	raw    []byte // the leaf's bytes
	index  uint64
	opened *seal.Opened // nil: public, or erased
	erased string
}

func (r *Reader) readLeaf(i uint64) (*steno.Leaf, []byte, error) {
	e, err := r.cfg.Log.Read(i)
	if err != nil {
		return nil, nil, err
	}
	return e.Leaf, e.Body, nil
}

// entry reads a record from the log and opens it. That its text is erased is no error.
func (r *Reader) entry(i uint64, want steno.Section) (*entry, error) {
	e, err := r.cfg.Log.Read(i)
	if err != nil {
		return nil, fmt.Errorf("couldn't read record %d: %w", i, err)
	}
	out := &entry{leaf: e.Leaf, raw: e.Raw, index: i}
	if e.Leaf.Flags&steno.FlagPublicOnly != 0 {
		return out, nil
	}
	out.opened, err = r.cfg.Keys.Open(e.Leaf, e.Body, r.readLeaf, want)
	switch {
	case errors.Is(err, seal.ErrErased):
		out.erased = err.Error()
	case err != nil && e.Leaf.BodyLength > 0 && len(bytes.Trim(e.Body, "\x00")) == 0:
		out.erased = "erased: its sealed bytes were removed"
	case err != nil:
		return nil, fmt.Errorf("couldn't open record %d: %w", i, err)
	}
	return out, nil
}

func (e *entry) flag(f steno.LeafFlags) bool { return e.leaf.Flags&f != 0 }

// ofCall says whether the record is one of a call, and not only about it.
func (e *entry) ofCall() bool {
	return e.flag(steno.FlagOpens|steno.FlagContinues|steno.FlagCloses) || e.opened != nil && strings.HasPrefix(e.opened.Type, "inference.")
}

// record is the entry as it is shown.
func (e *entry) record() Record {
	rec := Record{
		Leaf: e.index, ID: e.leaf.Record.String(), WrittenAt: time.Unix(0, e.leaf.WrittenAt).UTC(),
		Source: hex.EncodeToString(e.leaf.Source[:]), Number: e.leaf.Number, Sealed: int64(e.leaf.BodyLength),
		DayKey: e.leaf.DayKey, Erased: e.erased,
	}
	switch {
	case e.opened != nil:
		rec.Type, rec.Event = e.opened.Type, &e.opened.Event
	case e.flag(steno.FlagPublicOnly):
		rec.Type, rec.Public = e.leaf.PublicType().String(), publicJSON(e.leaf.Public)
	default:
		rec.Type = "sealed"
	}
	return rec
}

// publicJSON shows the CBOR of a public record as JSON, byte strings in hex. What cannot be shown so is hex as a whole.
func publicJSON(b []byte) json.RawMessage {
	var m map[string]any
	err := cbor.Unmarshal(b, &m)
	if err == nil {
		for k, v := range m {
			if raw, ok := v.([]byte); ok {
				m[k] = hex.EncodeToString(raw)
			}
		}
		if out, err := json.Marshal(m); err == nil {
			return out
		}
	}
	return quoted(hex.EncodeToString(b))
}

// missing says which parts of the entry are gone.
func (e *entry) missing() []Missing {
	if e.erased != "" {
		return []Missing{{Leaf: e.index, Piece: -1, Why: e.erased}}
	}
	if e.opened == nil {
		return nil
	}
	var out []Missing
	for _, m := range e.opened.Missing {
		out = append(out, Missing{Leaf: e.index, Section: m.Section.String(), Piece: m.Piece, Bytes: m.Length, Why: "erased: its key is destroyed"})
	}
	return out
}

func (e *entry) isMissing(s steno.Section) bool {
	if e.opened == nil {
		return true
	}
	return slices.ContainsFunc(e.opened.Missing, func(m seal.Missing) bool { return m.Section == s })
}

// call is the records of one exchange, sorted by what they are.
type call struct {
	entries  []*entry
	request  *entry
	response *entry // the same as request for a call that was never forwarded
	parts    []*entry
	alerts   []*entry
}

func newCall(entries []*entry) *call {
	c := &call{entries: entries}
	for _, e := range entries {
		if e.flag(steno.FlagOpens) && c.request == nil {
			c.request = e
		}
		if e.flag(steno.FlagCloses) && c.response == nil {
			c.response = e
		}
		if e.flag(steno.FlagContinues) {
			c.parts = append(c.parts, e)
		}
		if e.opened != nil && e.opened.Type == "security.alert" {
			c.alerts = append(c.alerts, e)
		}
	}
	return c
}

// event returns the event of an entry, nil if there is none to read.
func (e *entry) event() *steno.Event {
	if e == nil || e.opened == nil {
		return nil
	}
	return &e.opened.Event
}

// Sides of an exchange.
const (
	sideRequest  = "request"
	sideResponse = "response"
)

// wire is one direction's bytes, put back together.
type wire struct {
	side     string
	head     *Head
	trailer  http.Header
	raw      []byte
	plain    []byte // content encoding undone, as far as it goes
	encoding string
	decoded  bool
	missing  bool // parts of it are erased, so raw is not what was on the wire
	absent   bool // nothing was recorded for this direction
}

// wire joins the bytes of a direction: of the answer first the parts that were recorded on its way, then the rest.
func (c *call) wire(side string) (*wire, error) {
	w := &wire{side: side}
	var from []*entry
	section := steno.SectionPrompt
	if side == sideRequest {
		if c.request != nil {
			from = []*entry{c.request}
		}
	} else {
		section = steno.SectionOutput
		from = slices.Clone(c.parts)
		if c.response != nil {
			from = append(from, c.response)
		}
	}
	w.absent = true
	for _, e := range from {
		if e.leaf.Sections&section != 0 {
			w.absent = false
			if e.isMissing(section) {
				w.missing = true
			}
		}
		if e.opened == nil {
			continue
		}
		pieces := e.opened.Request
		if side == sideResponse {
			pieces = e.opened.Response
		}
		b, err := steno.Join(pieces)
		if err != nil {
			return nil, fmt.Errorf("couldn't put the %s together from record %d: %w", side, e.index, err)
		}
		w.raw = append(w.raw, b...)
		if err := w.heads(pieces); err != nil {
			return nil, fmt.Errorf("couldn't read the head of the %s in record %d: %w", side, e.index, err)
		}
	}
	if w.head != nil {
		w.encoding = strings.ToLower(strings.TrimSpace(w.head.Headers.Get("Content-Encoding")))
	}
	w.plain, w.decoded = dialect.Decode(w.raw, w.encoding, maxDecoded)
	return w, nil
}

func (w *wire) heads(pieces []steno.Piece) error {
	for _, p := range pieces {
		if len(p.Bytes) == 0 || p.Kind != steno.KindHead && p.Kind != steno.KindTrailer {
			continue
		}
		var h Head
		if err := json.Unmarshal(p.Bytes, &h); err != nil {
			return err
		}
		if p.Kind == steno.KindHead {
			w.head = &h
		} else {
			w.trailer = h.Headers
		}
	}
	return nil
}

func (w *wire) contentType() string {
	if w.head == nil {
		return ""
	}
	return w.head.Headers.Get("Content-Type")
}

// body describes the direction; nil where there is none.
func (w *wire) body() *Body {
	if w.absent && w.head == nil {
		return nil
	}
	sum := sha256.Sum256(w.raw)
	return &Body{
		Head: w.head, Trailer: w.trailer, Bytes: int64(len(w.raw)), SHA256: hex.EncodeToString(sum[:]),
		Encoding: w.encoding, Decoded: w.decoded, Stream: dialect.Streamed(w.contentType()),
	}
}
