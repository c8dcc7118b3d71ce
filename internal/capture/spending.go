package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/steno-audit/steno"
)

// Budget is what a key may use in a day or a month, by UTC. One of NanoUSD and Tokens is set.
type Budget struct {
	NanoUSD int64
	Tokens  int64
	Monthly bool // else daily
}

var errBudget = errors.New(`a budget is an amount for a day or a month, as "50 USD/month" or "200000 tokens/day"`)

// ParseBudget reads "50 USD/month", "2.5 USD/day" or "200000 tokens/day"; "" is none.
func ParseBudget(s string) (*Budget, error) {
	if s == "" {
		return nil, nil
	}
	amount, period, ok := strings.Cut(s, "/")
	number, unit, spaced := strings.Cut(strings.TrimSpace(amount), " ")
	b := &Budget{}
	switch strings.TrimSpace(period) {
	case "day":
	case "month":
		b.Monthly = true
	default:
		ok = false
	}
	if !ok || !spaced {
		return nil, errBudget
	}
	switch strings.TrimSpace(unit) {
	case "USD":
		n, ok := nanoUSD(number)
		if !ok || n <= 0 {
			return nil, fmt.Errorf("%q is no amount of dollars: %w", number, errBudget)
		}
		b.NanoUSD = n
	case "tokens":
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("%q is no number of tokens: %w", number, errBudget)
		}
		b.Tokens = n
	default:
		return nil, errBudget
	}
	return b, nil
}

// nanoUSD reads an exact decimal; what is below a billionth of a dollar is rounded up.
func nanoUSD(s string) (int64, bool) {
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.':
		default:
			return 0, false // no exponents, no fractions, no signs
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok || digits == 0 || len(s) > 40 {
		return 0, false
	}
	r.Mul(r, big.NewRat(1_000_000_000, 1))
	n, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		n.Add(n, big.NewInt(1))
	}
	return n.Int64(), n.IsInt64() && n.Int64() < 1<<60
}

func dollars(nano int64) string {
	s := fmt.Sprintf("%d.%09d", nano/1e9, nano%1e9)
	s = strings.TrimRight(s, "0")
	if i := strings.IndexByte(s, '.'); len(s)-i < 3 {
		s += strings.Repeat("0", 3-(len(s)-i))
	}
	return s
}

func (b *Budget) String() string {
	period := map[bool]string{true: "month", false: "day"}[b.Monthly]
	if b.Tokens > 0 {
		return strconv.FormatInt(b.Tokens, 10) + " tokens/" + period
	}
	return dollars(b.NanoUSD) + " USD/" + period
}

// period names the one that a time lies in, and says when the next begins.
func (b *Budget) period(t time.Time) (name string, next time.Time) {
	t = t.UTC()
	if b.Monthly {
		return t.Format("2006-01"), time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t.Format("2006-01-02"), time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
}

// Use is what a key has used in a period.
type Use struct {
	Calls    int64 `json:"calls"`
	Unpriced int64 `json:"unpriced,omitempty"` // calls that used tokens of which no price is known: they cost nothing here
	NanoUSD  int64 `json:"nano_usd"`
	Tokens   int64 `json:"tokens"` // read and written
}

func (u *Use) add(o Use) {
	u.Calls, u.Unpriced, u.NanoUSD, u.Tokens = u.Calls+o.Calls, u.Unpriced+o.Unpriced, u.NanoUSD+o.NanoUSD, u.Tokens+o.Tokens
}

// USD is the cost as an exact decimal.
func (u *Use) USD() string { return dollars(u.NanoUSD) }

// KeyUse is what a key has used today and this month, by UTC.
type KeyUse struct {
	Day   string `json:"day"`   // 2026-11-24
	Month string `json:"month"` // 2026-11
	Today Use    `json:"today"`
	Total Use    `json:"this_month"`
}

// at is the use in the periods of a time that is not before the last.
func (k *KeyUse) at(t time.Time) {
	day, month := t.UTC().Format("2006-01-02"), t.UTC().Format("2006-01")
	if day > k.Day {
		k.Day, k.Today = day, Use{}
	}
	if month > k.Month {
		k.Month, k.Total = month, Use{}
	}
}

// Left says what is left of a budget; it is below zero where calls under way together went beyond it.
func (b *Budget) Left(u *KeyUse) int64 {
	used := u.Today
	if b.Monthly {
		used = u.Total
	}
	if b.Tokens > 0 {
		return b.Tokens - used.Tokens
	}
	return b.NanoUSD - used.NanoUSD
}

// LeftWords is what is left, as a person reads it; nothing is "0", also where more was used.
func (b *Budget) LeftWords(u *KeyUse) string {
	left := max(b.Left(u), 0)
	if b.Tokens > 0 {
		return strconv.FormatInt(left, 10) + " tokens"
	}
	return dollars(left) + " USD"
}

// Spent is one call of a key that is on record already.
type Spent struct {
	Key    string
	Time   time.Time // of its request
	Cost   string    // exact decimal; else it has no price
	Tokens int64
}

// spending keeps what each key has used. It is in memory, and made again from the log at each start.
type spending struct {
	mu   sync.Mutex
	keys map[string]*KeyUse
	told map[string]string // key → the period for which it is on record that its budget is used up
}

func newSpending() *spending {
	return &spending{keys: map[string]*KeyUse{}, told: map[string]string{}}
}

// add counts a call, in the periods of its own time: one that began before midnight belongs to the day before.
func (s *spending) add(key string, at, now time.Time, u Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key]
	if k == nil {
		k = &KeyUse{}
		s.keys[key] = k
	}
	k.at(now)
	if at.UTC().Format("2006-01-02") == k.Day {
		k.Today.add(u)
	}
	if at.UTC().Format("2006-01") == k.Month {
		k.Total.add(u)
	}
}

func (s *spending) use(key string, now time.Time) KeyUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key]
	if k == nil {
		k = &KeyUse{}
		s.keys[key] = k
	}
	k.at(now)
	return *k
}

// tell says whether it is still to be told that a budget is used up.
func (s *spending) tell(key, period string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told[key] == period {
		return false
	}
	s.told[key] = period
	return true
}

// Count adds calls that are on record before the gateway takes the first one.
func (g *Gateway) Count(calls []Spent) {
	now := time.Now()
	for _, c := range calls {
		u := Use{Calls: 1, Tokens: c.Tokens}
		if n, ok := nanoUSD(c.Cost); ok {
			u.NanoUSD = n
		} else if c.Tokens > 0 {
			u.Unpriced = 1
		}
		g.spent.add(c.Key, c.Time, now, u)
	}
}

// Use returns what each key has used today and this month.
func (g *Gateway) Use() map[string]KeyUse {
	now := time.Now()
	g.spent.mu.Lock()
	defer g.spent.mu.Unlock()
	out := make(map[string]KeyUse, len(g.spent.keys))
	for id, k := range g.spent.keys {
		k.at(now)
		out[id] = *k
	}
	return out
}

// spend counts what a call has cost.
func (g *Gateway) spend(who caller, at time.Time, res *steno.Result) {
	if who.key == nil || who.key.ID == "" {
		return
	}
	u := Use{Calls: 1}
	if t := res.Usage; t != nil {
		for _, n := range []*int64{t.Input, t.Output} {
			if n != nil {
				u.Tokens += *n
			}
		}
	}
	priced := false
	if res.Cost != nil {
		u.NanoUSD, priced = nanoUSD(res.Cost.USD)
	}
	if !priced {
		u.NanoUSD = 0
		if u.Tokens > 0 {
			u.Unpriced = 1
		}
	}
	g.spent.add(who.key.ID, at, time.Now(), u)
	g.tellBudget(who)
}

// tellBudget records, once for each period, that a key's budget is used up.
func (g *Gateway) tellBudget(who caller) {
	b := who.key.Budget
	if b == nil {
		return
	}
	now := time.Now().UTC()
	use := g.spent.use(who.key.ID, now)
	period, _ := b.period(now)
	if b.Left(&use) > 0 || !g.spent.tell(who.key.ID, period) {
		return
	}
	details := map[string]json.RawMessage{}
	for name, v := range map[string]string{"budget": b.String(), "period": period} {
		details[name], _ = json.Marshal(v) // a string always marshals
	}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "monitoring.budget_exceeded", Time: now,
		Identity: &steno.Identity{Key: who.key.ID, Team: who.key.Team, Tenant: who.key.Tenant, UserSource: "tenant"},
		System:   &steno.System{Action: "budget_exceeded", Target: "key " + who.key.ID, Details: details},
	}}
	if _, err := g.rec.Record(context.Background(), d, 0); err != nil {
		g.cfg.Logger.Error("a budget that is used up could not be recorded", "key", who.key.ID, "error", err)
	}
}

// overBudget refuses a call of a key whose budget is used up. Calls under way are not counted before they end, so calls at
// the same time may together go beyond it.
func (x *exchange) overBudget() bool {
	k := x.who.key
	if k == nil || k.Budget == nil {
		return false
	}
	now := time.Now()
	use := x.g.spent.use(k.ID, now)
	if k.Budget.Left(&use) > 0 {
		return false
	}
	x.g.tellBudget(x.who) // where a start found it used up
	_, next := k.Budget.period(now)
	h := x.w.Header()
	h.Set("Retry-After", strconv.FormatInt(int64(time.Until(next)/time.Second)+1, 10))
	h.Set("X-Should-Retry", "false") // the SDKs would try again within seconds
	x.refuse(http.StatusTooManyRequests, "budget_exceeded", "the key "+strconv.Quote(k.ID)+" has used up its budget of "+k.Budget.String()+"; it begins anew at "+next.Format(time.RFC3339))
	return true
}
