package price

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sort"
	"strings"
	"sync"
	"time"
)

//go:embed table.json
var embedded []byte

// A Table is a dated list of prices. It never changes once made and may be
// used from several goroutines.
type Table struct {
	version string
	asOf    string
	rows    map[string][]row // by provider and model, newest date first, then largest prompt first
}

// row is one price of one model from one day on.
type row struct {
	date string // 2006-01-02
	over int64  // holds only for prompts of more tokens than this
	hash string // first 8 bytes of SHA-256 over the row's JSON without spaces, in hex

	input, output, cacheRead, cacheWrite, cacheWriteHour rate
}

// rate is a price in trillionths of a dollar for one token, which is the same
// number as millionths of a dollar for a million tokens.
type rate struct {
	pico  int64
	known bool
}

// Default gives the table that is part of the program.
func Default() *Table { return defaultTable() }

var defaultTable = sync.OnceValue(func() *Table {
	t, err := parse(embedded)
	if err != nil {
		// The table is compiled in and tested: this cannot be an operator's doing.
		panic(err)
	}
	return t
})

// Version names the table: the day its prices were taken, and a short hash of
// the whole file.
func (t *Table) Version() string { return t.version }

// AsOf is the day the table's prices were taken (2006-01-02).
func (t *Table) AsOf() string { return t.asOf }

type fileHead struct {
	AsOf    string            `json:"as_of"`
	Unit    string            `json:"unit"`
	Note    string            `json:"note"`
	Sources map[string]string `json:"sources"`
	Rows    []json.RawMessage `json:"rows"`
}

type fileRow struct {
	Provider       string   `json:"provider"`
	Models         []string `json:"models"`
	Date           string   `json:"date"`
	Over           int64    `json:"over"`
	Input          string   `json:"input"`
	Output         string   `json:"output"`
	CacheRead      string   `json:"cache_read"`
	CacheWrite     string   `json:"cache_write"`
	CacheWriteHour string   `json:"cache_write_hour"`
	Source         string   `json:"source"`
}

func parse(file []byte) (*Table, error) {
	var head fileHead
	if err := decodeStrict(file, &head); err != nil {
		return nil, fmt.Errorf("couldn't read the price table: %w", err)
	}
	if !isDate(head.AsOf) {
		return nil, fmt.Errorf("price table: as_of is %q, want a date such as 2026-08-21", head.AsOf)
	}
	if head.Unit != "USD per million tokens" {
		return nil, fmt.Errorf("price table: unit is %q, want \"USD per million tokens\"", head.Unit)
	}
	sum := sha256.Sum256(file)
	t := &Table{
		version: head.AsOf + "-" + hex.EncodeToString(sum[:4]),
		asOf:    head.AsOf,
		rows:    make(map[string][]row),
	}
	for i, raw := range head.Rows {
		if err := t.add(raw, head.Sources); err != nil {
			return nil, fmt.Errorf("price table, row %d: %w", i+1, err)
		}
	}
	for _, rows := range t.rows {
		sort.Slice(rows, func(a, b int) bool {
			if rows[a].date != rows[b].date {
				return rows[a].date > rows[b].date
			}
			return rows[a].over > rows[b].over
		})
	}
	return t, nil
}

func (t *Table) add(raw json.RawMessage, sources map[string]string) error {
	var f fileRow
	if err := decodeStrict(raw, &f); err != nil {
		return err
	}
	switch {
	case f.Provider == "":
		return errors.New("provider is missing")
	case len(f.Models) == 0:
		return errors.New("models is empty")
	case !isDate(f.Date):
		return fmt.Errorf("date is %q, want a date such as 2026-08-21", f.Date)
	case f.Over < 0:
		return fmt.Errorf("over is %d, want a number of tokens", f.Over)
	case sources[f.Source] == "":
		return fmt.Errorf("source %q is not among the file's sources", f.Source)
	}
	r := row{date: f.Date, over: f.Over}
	for _, c := range []struct {
		name, text string
		to         *rate
	}{
		{"input", f.Input, &r.input},
		{"output", f.Output, &r.output},
		{"cache_read", f.CacheRead, &r.cacheRead},
		{"cache_write", f.CacheWrite, &r.cacheWrite},
		{"cache_write_hour", f.CacheWriteHour, &r.cacheWriteHour},
	} {
		var err error
		if *c.to, err = parseRate(c.text); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if !r.input.known {
		return errors.New("input is missing")
	}
	var plain bytes.Buffer
	if err := json.Compact(&plain, raw); err != nil {
		return err
	}
	sum := sha256.Sum256(plain.Bytes())
	r.hash = hex.EncodeToString(sum[:8])

	for _, m := range f.Models {
		if m == "" || m != strings.ToLower(m) {
			return fmt.Errorf("model %q: want a lower-case name", m)
		}
		k := key(f.Provider, m)
		for _, other := range t.rows[k] {
			if other.date == r.date && other.over == r.over {
				return fmt.Errorf("model %q has another row for %s over %d", m, r.date, r.over)
			}
		}
		t.rows[k] = append(t.rows[k], r)
	}
	return nil
}

// find gives the row that holds for a prompt of that many tokens on that day.
func (t *Table) find(provider, model, day string, prompt int64) (row, bool) {
	for _, name := range names(model) {
		rows := t.rows[key(provider, name)]
		newest := ""
		for _, r := range rows {
			if r.date > day || (newest != "" && r.date != newest) {
				continue
			}
			// Only rows of one date compete on prompt size: a surcharge for
			// long prompts that a later row dropped must not come back.
			newest = r.date
			if prompt > r.over || r.over == 0 {
				return r, true
			}
		}
		if len(rows) > 0 {
			return row{}, false // the name is known, but not for this day
		}
	}
	return row{}, false
}

// names lists what a model may be called in the table, most exact first: its
// own name, then the name without a snapshot's date. A fine-tuned model
// (ft:BASE:ORG:NAME:ID) goes by its base, an ARN by what it ends with, and
// Bedrock's ids also without the version of the model's interface (-v1:0).
func names(model string) []string {
	m := strings.ToLower(model)
	if strings.HasPrefix(m, "arn:") {
		m = m[strings.LastIndexByte(m, '/')+1:]
	}
	if short := unversioned(m); short != m {
		return append([]string{m}, names(short)...)
	}
	if rest, ok := strings.CutPrefix(m, "ft:"); ok {
		base, _, _ := strings.Cut(rest, ":")
		m = "ft:" + base
	}
	if base := undated(m); base != m {
		return []string{m, base}
	}
	return []string{m}
}

// unversioned drops "-v1:0" or "-v2" from the end of a name.
func unversioned(m string) string {
	i := strings.LastIndex(m, "-v")
	if i < 1 || i+2 == len(m) || strings.Trim(m[i+2:], "0123456789:") != "" {
		return m
	}
	return m[:i]
}

// undated drops "-2024-08-06", "-20241022", "@20241022" or "-latest" from the
// end of a name.
func undated(m string) string {
	if base, ok := strings.CutSuffix(m, "-latest"); ok {
		return base
	}
	for _, layout := range []string{"-2006-01-02", "-20060102", "@20060102"} {
		if n := len(m) - len(layout); n > 0 {
			if _, err := time.Parse(layout, m[n:]); err == nil {
				return m[:n]
			}
		}
	}
	return m
}

func key(provider, model string) string { return strings.ToLower(provider) + "\x00" + model }

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func parseRate(s string) (rate, error) {
	if s == "" {
		return rate{}, nil
	}
	if strings.Trim(s, "0123456789.") != "" {
		return rate{}, fmt.Errorf("%q is not a price such as \"2.50\"", s)
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return rate{}, fmt.Errorf("%q is not a price such as \"2.50\"", s)
	}
	r.Mul(r, big.NewRat(1_000_000, 1))
	if !r.IsInt() || !r.Num().IsInt64() {
		return rate{}, fmt.Errorf("%q has more than six decimals or is too large", s)
	}
	return rate{pico: r.Num().Int64(), known: true}, nil
}

func decodeStrict(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(to)
}
