package seal

import (
	"errors"
	"fmt"

	"github.com/steno-audit/steno"
)

// errStream is what is wrong with an encoding that no encoder wrote.
var errStream = errors.New("not an encoded stream")

// streamDecoder reads the first part of an encoding. All that it allocates is bounded by the bytes it has read: a
// count is believed only as far as there are bytes for what it counts.
type streamDecoder struct {
	b         []byte // what is left of the structure
	templates []streamTemplate
	shapes    []streamShape
	events    []uint32
	columns   []streamColumn
}

type streamTemplate struct {
	parts   [][]byte // one more than columns
	columns []uint32
}

type streamShape struct {
	template *streamTemplate
	ops      []byte
}

// streamColumn is a column while it is read: the bytes of its literals that are to come, and their lengths.
type streamColumn struct {
	literals int
	lengths  []uint32
	text     []byte
	last     []byte
}

// decodeStream is the reverse of encodeStream, for bytes of any origin: at most a chunk comes out.
func decodeStream(b []byte) ([]byte, error) {
	structure, text, err := streamParts(b)
	if err != nil {
		return nil, err
	}
	d := &streamDecoder{b: structure}
	for _, step := range []func() error{d.readTemplates, d.readShapes, d.readEvents, func() error { return d.readColumns(text) }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return d.render()
}

// streamParts splits an encoding and undoes the compression of its two parts.
func streamParts(b []byte) (structure, text []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errStream
	}
	how := b[0]
	n, rest, err := uvarint(b[1:])
	if err != nil || n > uint64(len(rest)) {
		return nil, nil, errStream
	}
	if structure, err = decodePart(codec(how&15), rest[:n]); err != nil {
		return nil, nil, err
	}
	text, err = decodePart(codec(how>>4), rest[n:])
	return structure, text, err
}

func decodePart(c codec, b []byte) ([]byte, error) {
	switch c {
	case codecRaw:
		return b, nil
	case codecDict:
		return unzstdDict.DecodeAll(b, nil) // which refuses more than maxStreamPart
	}
	return nil, fmt.Errorf("%w: a part in codec %d", errStream, c)
}

func (d *streamDecoder) uvarint() (uint64, error) {
	v, rest, err := uvarint(d.b)
	if err == nil {
		d.b = rest
	}
	return v, err
}

// count reads how many there are of what takes at least one byte each.
func (d *streamDecoder) count() (int, error) {
	n, err := d.uvarint()
	if err != nil {
		return 0, err
	}
	if n > uint64(len(d.b)) {
		return 0, fmt.Errorf("%w: %d of something in %d bytes", errStream, n, len(d.b))
	}
	return int(n), nil
}

func (d *streamDecoder) bytes() ([]byte, error) {
	n, err := d.count()
	if err != nil {
		return nil, err
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p, nil
}

func (d *streamDecoder) readTemplates() error {
	columns, err := d.count()
	if err != nil {
		return err
	}
	if columns > maxStreamCols {
		return fmt.Errorf("%w: %d columns", errStream, columns)
	}
	d.columns = make([]streamColumn, columns)
	n, err := d.count()
	if err != nil {
		return err
	}
	for range n {
		var t streamTemplate
		slots, err := d.count()
		if err != nil {
			return err
		}
		column := int64(-1)
		for range slots {
			p, err := d.bytes()
			if err != nil {
				return err
			}
			delta, err := d.uvarint()
			if err != nil {
				return err
			}
			if column += unzigzag(delta); column < 0 || column >= int64(columns) {
				return fmt.Errorf("%w: column %d of %d", errStream, column, columns)
			}
			t.parts = append(t.parts, p)
			t.columns = append(t.columns, uint32(column))
		}
		p, err := d.bytes()
		if err != nil {
			return err
		}
		t.parts = append(t.parts, p)
		d.templates = append(d.templates, t)
	}
	return nil
}

func (d *streamDecoder) readShapes() error {
	n, err := d.count()
	if err != nil {
		return err
	}
	for range n {
		t, err := d.uvarint()
		if err != nil {
			return err
		}
		if t >= uint64(len(d.templates)) {
			return fmt.Errorf("%w: template %d of %d", errStream, t, len(d.templates))
		}
		s := streamShape{template: &d.templates[t]}
		k := len(s.template.columns)
		if k > len(d.b) {
			return fmt.Errorf("%w: a shape is cut off", errStream)
		}
		s.ops, d.b = d.b[:k], d.b[k:]
		for _, op := range s.ops {
			if op > opLiteral {
				return fmt.Errorf("%w: operation %d", errStream, op)
			}
		}
		d.shapes = append(d.shapes, s)
	}
	return nil
}

// readEvents reads the sequence of shapes, which tells how many literals each column has.
func (d *streamDecoder) readEvents() error {
	n, err := d.count()
	if err != nil {
		return err
	}
	work := 0
	for range n {
		s, err := d.uvarint()
		if err != nil {
			return err
		}
		if s >= uint64(len(d.shapes)) {
			return fmt.Errorf("%w: shape %d of %d", errStream, s, len(d.shapes))
		}
		shape := &d.shapes[s]
		// A value that comes out of an encoder has bytes before or after it, so there are never more than these.
		if work += len(shape.ops) + 1; work > 2*steno.MaxChunkPlain {
			return fmt.Errorf("%w: more values than bytes could come out", errStream)
		}
		for i, op := range shape.ops {
			if op == opLiteral {
				d.columns[shape.template.columns[i]].literals++
			}
		}
		d.events = append(d.events, uint32(s))
	}
	return nil
}

// readColumns reads the lengths of the literals, which divide the text among the columns.
func (d *streamDecoder) readColumns(text []byte) error {
	for i := range d.columns {
		c := &d.columns[i]
		if c.literals > len(d.b) {
			return fmt.Errorf("%w: lengths are cut off", errStream)
		}
		total := uint64(0)
		c.lengths = make([]uint32, c.literals)
		for j := range c.lengths {
			n, err := d.uvarint()
			if err != nil {
				return err
			}
			if total += n; n > uint64(len(text)) || total > uint64(len(text)) {
				return fmt.Errorf("%w: text is cut off", errStream)
			}
			c.lengths[j] = uint32(n)
		}
		c.text, text = text[:total], text[total:]
	}
	if len(d.b) > 0 || len(text) > 0 {
		return fmt.Errorf("%w: bytes after its end", errStream)
	}
	return nil
}

// render puts the values between the parts of the templates.
func (d *streamDecoder) render() ([]byte, error) {
	var out []byte
	for _, s := range d.events {
		shape := &d.shapes[s]
		for i, op := range shape.ops {
			out = append(out, shape.template.parts[i]...)
			c := &d.columns[shape.template.columns[i]]
			switch op {
			case opNext:
				next, ok := increment(c.last)
				if !ok {
					return nil, fmt.Errorf("%w: nothing comes after %.20q", errStream, c.last)
				}
				c.last = next
			case opLiteral:
				n := c.lengths[0]
				c.last, c.text, c.lengths = c.text[:n], c.text[n:], c.lengths[1:]
			}
			out = append(out, c.last...)
			if len(out) > steno.MaxChunkPlain {
				return nil, fmt.Errorf("%w: more than %d bytes come out", errStream, steno.MaxChunkPlain)
			}
		}
		out = append(out, shape.template.parts[len(shape.ops)]...)
		if len(out) > steno.MaxChunkPlain {
			return nil, fmt.Errorf("%w: more than %d bytes come out", errStream, steno.MaxChunkPlain)
		}
	}
	return out, nil
}
