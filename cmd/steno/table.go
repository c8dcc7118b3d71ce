package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/serve"
)

// screen is where a command prints: how wide it is, and whether it may be coloured. A pipe has no width and no colour.
type screen struct {
	w      io.Writer
	width  int // 0: no limit
	colour bool
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			s.width = n
		}
	}
	return s
}

// The colours that mean something. Each stands beside a word that says the same.
const (
	red    = "31"
	yellow = "33"
	green  = "32"
	grey   = "90"
	bold   = "1"
)

func (s *screen) paint(colour, text string) string {
	if !s.colour || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// cell is one field of a table.
type cell struct {
	text   string
	colour string
}

// column is how a field is shown.
type column struct {
	name   string
	right  bool
	shrink int // how narrow it may become on a narrow screen; 0: never shrinks
	likely int // how wide it mostly is, where rows come one by one
	drop   int // on a screen too narrow for all, the column with the highest goes first; 0: never
}

// table aligns rows; a column of width 0 is left out. Columns are as wide as what is in them; where the screen is too narrow those that may shrink do.
type table struct {
	s       *screen
	columns []column
	widths  []int
}

// fit measures the rows. Where more are to come, columns are as wide as is likely, and stay as wide as they were.
func (t *table) fit(rows [][]cell, more bool) {
	old := t.widths
	t.widths = make([]int, len(t.columns))
	for i, c := range t.columns {
		t.widths[i] = utf8.RuneCountInString(c.name)
		if more {
			t.widths[i] = max(t.widths[i], c.likely)
		}
		if old != nil {
			t.widths[i] = max(t.widths[i], old[i])
		}
	}
	for _, r := range rows {
		for i, c := range r {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c.text))
		}
	}
	if t.s.width == 0 {
		return
	}
	for natural := slices.Clone(t.widths); ; {
		copy(t.widths, natural)
		if t.squeeze() {
			return
		}
		i := t.least(natural)
		if i < 0 {
			return
		}
		natural[i] = 0
	}
}

// squeeze narrows the columns that may shrink until all fit, always the widest first. It says whether they do.
func (t *table) squeeze() bool {
	total := -2
	for _, w := range t.widths {
		if w > 0 {
			total += w + 2
		}
	}
	for total > t.s.width {
		widest := -1
		for i, c := range t.columns {
			if c.shrink > 0 && t.widths[i] > c.shrink && (widest < 0 || t.widths[i] > t.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		t.widths[widest]--
		total--
	}
	return true
}

// least is the column that is needed least of those that are there, and may go; below 0 if there is none.
func (t *table) least(widths []int) int {
	least := -1
	for i, c := range t.columns {
		if c.drop > 0 && widths[i] > 0 && (least < 0 || c.drop > t.columns[least].drop) {
			least = i
		}
	}
	return least
}

func (t *table) head() error {
	cells := make([]cell, len(t.columns))
	for i, c := range t.columns {
		cells[i] = cell{c.name, grey}
	}
	return t.row(cells)
}

func (t *table) row(cells []cell) error {
	var b strings.Builder
	for i, c := range cells {
		if t.widths[i] == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("  ")
		}
		text := c.text
		if t.s.width > 0 && t.columns[i].shrink > 0 {
			text = cut(text, t.widths[i])
		}
		pad := strings.Repeat(" ", max(t.widths[i]-utf8.RuneCountInString(text), 0))
		switch {
		case t.columns[i].right:
			b.WriteString(pad + t.s.paint(c.colour, text))
		case i == len(cells)-1:
			b.WriteString(t.s.paint(c.colour, text))
		default:
			b.WriteString(t.s.paint(c.colour, text) + pad)
		}
	}
	_, err := fmt.Fprintln(t.s.w, strings.TrimRight(b.String(), " "))
	return err
}

// cut shortens a text and shows that it did.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:max(n-1, 0)]) + "…"
}

// plain makes a text safe for a terminal: a user's name must not move the cursor.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return '�'
		}
		return c
	}, s)
}

// shortID is enough of an id to find it by: the time in milliseconds, and four digits that tell apart what began in the same one.
func shortID(id fmt.Stringer) string { return id.String()[:16] }

func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

var exchangeColumns = []column{
	{name: "ID"},
	{name: "TIME", likely: 19},
	{name: "USER", shrink: 6, likely: 14},
	{name: "MODEL", shrink: 10, likely: 40},
	{name: "STATUS", shrink: 8, likely: 14},
	{name: "TOKENS", right: true, likely: 10, drop: 1},
	{name: "COST", right: true, likely: 11, drop: 2},
	{name: "LATENCY", right: true, likely: 8, drop: 3},
	{name: "FLAGS", shrink: 6},
}

func exchangeCells(r *serve.Row) []cell {
	flags := strings.Join(r.Flags, ",")
	return []cell{
		{shortID(r.ID), ""},
		{localTime(r.Time), ""},
		{orDash(plain(r.User)), ""},
		{plain(modelArrow(r.Model, r.AnsweredModel)), ""},
		{r.Status, statusColour(r)},
		{tokens(r.InputTokens, r.OutputTokens), ""},
		{cost(r.Cost), ""},
		{latency(r.LatencyMS), ""},
		{flags, yellow},
	}
}

func statusColour(r *serve.Row) string {
	switch {
	case r.Failed():
		return red
	case r.Status == "refused" || r.Status == "blocked" || r.Status == index.StatusErased:
		return yellow
	case r.Status == index.StatusOpen:
		return grey
	}
	return ""
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// modelArrow says which model was asked and, where it is another, which answered.
func modelArrow(asked, answered string) string {
	if answered == "" || asked == answered {
		return orDash(asked)
	}
	return orDash(asked) + " → " + answered
}

func tokens(in, out *int64) string {
	if in == nil && out == nil {
		return "–"
	}
	one := func(p *int64) string {
		if p == nil {
			return "?"
		}
		return fmt.Sprint(*p)
	}
	return one(in) + "/" + one(out)
}

func cost(usd *string) string {
	switch {
	case usd == nil:
		return "–"
	case *usd == index.Unpriced:
		return *usd
	}
	return "$" + *usd
}

func latency(ms *float64) string {
	if ms == nil {
		return "–"
	}
	return milliseconds(*ms)
}

func milliseconds(ms float64) string {
	switch {
	case ms >= 100_000:
		return fmt.Sprintf("%.0f s", ms/1000)
	case ms >= 1000:
		return fmt.Sprintf("%.2f s", ms/1000)
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2g ms", ms)
}

var eventColumns = []column{
	{name: "ID"},
	{name: "TIME", likely: 19},
	{name: "TYPE", likely: 24},
	{name: "USER", shrink: 6, likely: 14},
	{name: "EXCHANGE", likely: 16, drop: 1},
	{name: "LEAF", right: true, likely: 8, drop: 2},
	{name: "FLAGS", shrink: 6},
}

func eventCells(e *serve.EventRow) []cell {
	exchange := "–"
	if !e.Exchange.IsZero() {
		exchange = shortID(e.Exchange)
	}
	return []cell{
		{shortID(e.ID), ""},
		{localTime(e.Time), ""},
		{plain(e.Type), ""},
		{orDash(plain(e.User)), ""},
		{exchange, ""},
		{fmt.Sprint(e.Leaf), ""},
		{strings.Join(e.Flags, ","), yellow},
	}
}
