package foreign

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Formats are the names of the file formats that are read, in the order in which they are looked for.
var Formats = []string{"events", "classic", "bedrock", "azure", "openai-batch", "litellm", "langfuse"}

const maxRecord = 64 << 20 // bytes of one record of a file

// object is one record of a file, as it lies there.
type object struct {
	line int
	raw  json.RawMessage
	err  error
}

// objects cuts a file into JSON objects: lines, an array, objects one after the other, one that wraps a list of them
// (records, data, events …), or CSV with a header. Compressed files are undone. It calls yield with each, and stops when
// that says false. A line that is no JSON is one with an error; what cannot be cut any further is an error of its own.
func objects(r io.Reader, yield func(object) bool) error {
	in := bufio.NewReaderSize(r, 1<<20)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("it begins as gzip and is none: %w", err)
		}
		defer z.Close() //nolint:errcheck // reading came to its end or failed, and said so
		in = bufio.NewReaderSize(z, 1<<20)
	}
	if bom, _ := in.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3) // it was peeked
	}
	line := 1
	for { // the first byte that is no white space tells
		b, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch b {
		case '\n':
			line++
			continue
		case ' ', '\t', '\r':
			continue
		}
		if err := in.UnreadByte(); err != nil {
			return err
		}
		break
	}
	head, _ := in.Peek(1)
	if head[0] != '{' && head[0] != '[' {
		return table(in, line, yield)
	}
	whole, err := isLines(in)
	if err != nil {
		return err
	}
	if whole {
		return lines(in, line, yield)
	}
	return document(in, line, yield)
}

// isLines says whether the first line is a JSON object by itself. One that is longer than can be looked at is taken to be.
func isLines(in *bufio.Reader) (bool, error) {
	first, err := in.Peek(1 << 20)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	end := bytes.IndexByte(first, '\n')
	if end < 0 {
		return err == nil && first[0] == '{' || json.Valid(first) && first[0] == '{', nil
	}
	line := bytes.TrimSpace(first[:end])
	if line[0] == '[' {
		return json.Valid(line) && len(bytes.TrimSpace(first[end:])) > 0, nil // a list in each line
	}
	if json.Valid(line) {
		return true, nil
	}
	// A first line that is broken does not make a document: one goes on after an opening brace or a comma.
	return len(line) > 1 && !strings.HasSuffix(string(line), ",") && !strings.HasSuffix(string(line), "{") && !strings.HasSuffix(string(line), "["), nil
}

func lines(in *bufio.Reader, line int, yield func(object) bool) error {
	for ; ; line++ {
		raw, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			if !errors.Is(err, errLongLine) {
				return err
			}
			if !yield(object{line: line, err: err}) {
				return nil
			}
			continue
		}
		if text := bytes.TrimSpace(raw); len(text) > 0 {
			if !json.Valid(text) {
				if !yield(object{line: line, raw: text, err: errNoJSON(text)}) {
					return nil
				}
			} else if !unwrap(line, text, yield) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

var errLongLine = fmt.Errorf("the line is longer than %d bytes", maxRecord)

// readLine reads a line; of one that is too long the rest is left out.
func readLine(in *bufio.Reader) ([]byte, error) {
	var out []byte
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if !long {
			out = append(out, part...)
		}
		if len(out) > maxRecord {
			long, out = true, nil
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLongLine
		}
		return out, err
	}
}

func errNoJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	return nil
}

// document reads values that go over several lines: objects, or arrays of them.
func document(in *bufio.Reader, line int, yield func(object) bool) error {
	count := &newlines{r: in}
	dec := json.NewDecoder(count)
	at := func() int { return line + count.before(dec.InputOffset()) }
	head, _ := in.Peek(1)
	if head[0] == '[' {
		if _, err := dec.Token(); err != nil {
			return fmt.Errorf("line %d: it is no JSON: %w", at(), err)
		}
		for dec.More() {
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil {
				return fmt.Errorf("line %d: it is no JSON from here on: %w", at(), err)
			}
			if len(raw) > maxRecord {
				return fmt.Errorf("line %d: a record is longer than %d bytes", at(), maxRecord)
			}
			if !unwrap(at()-bytes.Count(raw, []byte("\n")), raw, yield) {
				return nil
			}
		}
		if _, err := dec.Token(); err != nil {
			return fmt.Errorf("line %d: the array does not end: %w", at(), err)
		}
		return nil
	}
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: it is no JSON from here on: %w", at(), err)
		}
		if !unwrap(at()-bytes.Count(raw, []byte("\n")), raw, yield) {
			return nil
		}
	}
}

// newlines remembers where lines ended in what was read of late.
type newlines struct {
	r    io.Reader
	at   int64
	ends []int64
	gone int
}

func (n *newlines) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	for i, b := range p[:k] {
		if b == '\n' {
			n.ends = append(n.ends, n.at+int64(i))
		}
	}
	n.at += int64(k)
	return k, err
}

// before counts the lines that end before an offset; offsets only grow.
func (n *newlines) before(offset int64) int {
	i := 0
	for i < len(n.ends) && n.ends[i] < offset {
		i++
	}
	n.gone += i
	n.ends = n.ends[i:]
	return n.gone
}

// wrappers are members whose list holds the records proper: Azure's blobs, CloudTrail's way, API pages, CloudWatch.
var wrappers = []string{"records", "Records", "events", "logEvents", "data", "logs", "value"}

// unwrap yields a record, or those that it wraps. A CloudWatch event holds its record as text.
func unwrap(line int, raw json.RawMessage, yield func(object) bool) bool {
	return unwrapTo(3, line, raw, yield)
}

// unwrapTo goes down so many levels at most.
func unwrapTo(depth, line int, raw json.RawMessage, yield func(object) bool) bool {
	trimmed := bytes.TrimSpace(raw)
	if depth == 0 {
		return yield(object{line: line, raw: trimmed})
	}
	if len(trimmed) > 0 && trimmed[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(trimmed, &list) == nil {
			for _, one := range list {
				if !unwrapTo(depth-1, line, one, yield) {
					return false
				}
			}
			return true
		}
	}
	if bytes.Contains(trimmed[:min(len(trimmed), 4096)], []byte(`"message"`)) || wraps(trimmed) {
		var m map[string]json.RawMessage
		if json.Unmarshal(trimmed, &m) == nil {
			if m["specversion"] == nil && m["type"] == nil {
				for _, name := range wrappers {
					var list []json.RawMessage
					if v := bytes.TrimSpace(m[name]); len(v) > 0 && v[0] == '[' && json.Unmarshal(v, &list) == nil {
						for _, one := range list {
							if !unwrapTo(depth-1, line, one, yield) {
								return false
							}
						}
						return true
					}
				}
			}
			var text string
			if (m["timestamp"] != nil || m["@timestamp"] != nil) && json.Unmarshal(firstOf(m, "message", "@message"), &text) == nil {
				if inner := strings.TrimSpace(text); strings.HasPrefix(inner, "{") && json.Valid([]byte(inner)) {
					return yield(object{line: line, raw: json.RawMessage(inner)})
				}
			}
		}
	}
	return yield(object{line: line, raw: trimmed})
}

func wraps(b []byte) bool {
	b = b[:min(len(b), 4096)]
	for _, name := range wrappers {
		if bytes.Contains(b, []byte(`"`+name+`"`)) {
			return true
		}
	}
	return bytes.Contains(b, []byte(`"@message"`))
}

func firstOf(m map[string]json.RawMessage, names ...string) json.RawMessage {
	for _, n := range names {
		if m[n] != nil {
			return m[n]
		}
	}
	return nil
}

// table reads CSV with a header: each row is an object. A cell that is JSON stands as such, all else as a string.
func table(in *bufio.Reader, line int, yield func(object) bool) error {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	r.LazyQuotes = true
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err != nil || len(head) < 2 {
		return errors.New("it is neither JSON nor CSV with a header")
	}
	names := make([]string, len(head))
	for i, h := range head {
		names[i] = strings.TrimSpace(h)
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		at, _ := 0, 0
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			if !yield(object{line: line - 1 + wrong.Line, err: fmt.Errorf("it is no row of CSV: %w", wrong.Err)}) {
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		at, _ = r.FieldPos(0)
		at += line - 1
		if len(row) != len(names) {
			if !yield(object{line: at, err: fmt.Errorf("the row has %d fields, the header names %d", len(row), len(names))}) {
				return nil
			}
			continue
		}
		m := map[string]json.RawMessage{}
		for i, cell := range row {
			if cell != "" {
				m[names[i]] = cellValue(cell)
			}
		}
		raw, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if !unwrap(at, raw, yield) {
			return nil
		}
	}
}

func cellValue(cell string) json.RawMessage {
	if c := strings.TrimSpace(cell); c != "" && strings.ContainsRune(`{["`, rune(c[0])) && json.Valid([]byte(c)) {
		return json.RawMessage(c)
	}
	b, err := json.Marshal(cell)
	if err != nil {
		return json.RawMessage("null") // a string always marshals
	}
	return b
}
