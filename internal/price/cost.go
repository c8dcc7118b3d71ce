package price

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Usage counts a call's tokens, each in one field only.
type Usage struct {
	Input          int64 // read from the prompt, neither from nor into a cache
	Output         int64 // generated, reasoning included
	CacheRead      int64 // prompt tokens read from a cache
	CacheWrite     int64 // prompt tokens written to a cache
	CacheWriteHour int64 // prompt tokens written to a cache that keeps them an hour, which costs more
}

// Cost is what a call cost, and by which row.
type Cost struct {
	USD   string // exact decimal dollars, such as "0.0001275"
	Pico  int64  // the same sum in trillionths of a dollar, to add up
	Date  string // the day from which the row's price holds (2006-01-02)
	Row   string // short hash of the row
	Table string // version of the table
}

// Cost works out what a call cost at the prices of its day. It is false when
// that is not known; such a call is unpriced, not free.
func (t *Table) Cost(provider, model string, at time.Time, u Usage) (Cost, bool) {
	prompt, ok := sum(u.Input, u.CacheRead, u.CacheWrite, u.CacheWriteHour)
	if !ok {
		return Cost{}, false
	}
	r, ok := t.find(provider, model, at.UTC().Format(time.DateOnly), prompt)
	if !ok {
		return Cost{}, false
	}
	var total int64
	for _, part := range []struct {
		tokens int64
		rate   rate
	}{
		{u.Input, r.input},
		{u.Output, r.output},
		{u.CacheRead, r.cacheRead},
		{u.CacheWrite, r.cacheWrite},
		{u.CacheWriteHour, r.cacheWriteHour},
	} {
		if part.tokens == 0 {
			continue
		}
		p, ok := part.rate.times(part.tokens)
		if !ok {
			return Cost{}, false
		}
		if total, ok = sum(total, p); !ok {
			return Cost{}, false
		}
	}
	return Cost{USD: dollars(total), Pico: total, Date: r.date, Row: r.hash, Table: t.version}, true
}

// times is false for a token count that cannot be true: counts come from a
// provider's answer, which may say anything.
func (r rate) times(tokens int64) (int64, bool) {
	if !r.known || tokens < 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(r.pico), uint64(tokens))
	return int64(lo), hi == 0 && lo <= math.MaxInt64
}

// sum adds counts, none of which may be negative, and says whether they fit.
func sum(n ...int64) (int64, bool) {
	var total int64
	for _, v := range n {
		if v < 0 || v > math.MaxInt64-total {
			return 0, false
		}
		total += v
	}
	return total, true
}

// dollars writes trillionths of a dollar as dollars, without needless zeros.
func dollars(pico int64) string {
	const one = 1_000_000_000_000
	s := strconv.FormatInt(pico/one, 10)
	frac := pico % one
	if frac == 0 {
		return s
	}
	digits := strconv.FormatInt(one+frac, 10)[1:] // one+ keeps the leading zeros
	return s + "." + strings.TrimRight(digits, "0")
}
