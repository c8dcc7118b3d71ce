package index

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// record is what the index takes from one entry of the log.
type record struct {
	leaf  uint64
	entry *steno.Leaf
	event *steno.Event // nil: public, erased or unreadable
	kind  string       // its type
	state string       // "", StatusErased, StatusUnreadable
	alias uint64
}

// exchange is a row with what the index must know beside it. One that is in memory is never changed, only replaced.
type exchange struct {
	Row
	alias  uint64
	day    uint32 // day key under which it lies; 0: any
	opened bool   // by a record that says so, so that one that closes it is to come
	closed bool
}

// event is an event's row with what else can be asked for.
type event struct {
	EventRow
	conversation, model, answered, status string
	alias                                 uint64
	day                                   uint32
}

// open opens the identity and metadata of an entry.
func (x *Index) open(e *journal.Entry) (*record, error) {
	r := &record{leaf: e.Index, entry: e.Leaf}
	if e.Leaf.Flags&steno.FlagPublicOnly != 0 || e.Leaf.DayKey == 0 {
		r.kind = e.Leaf.PublicType().String()
		return r, nil
	}
	o, ok := x.cfg.Keys.Recall(e.Leaf)
	var err error
	if !ok {
		o, err = x.cfg.Keys.Open(e.Leaf, e.Body, nil, steno.SectionIdentity|steno.SectionMetadata|steno.SectionContext)
	}
	switch {
	case err == nil && o.Type != "":
		r.event, r.kind, r.alias = &o.Event, o.Type, o.Alias
		return r, nil
	case err == nil, errors.Is(err, seal.ErrErased), x.destroyed(e.Leaf.DayKey):
		r.state = StatusErased
	default:
		r.state = StatusUnreadable
	}
	r.kind = r.state
	if r.state == StatusErased {
		err = nil
	}
	return r, err
}

// destroyed says whether the key of a day is gone: then a body may be gone as well.
func (x *Index) destroyed(day uint32) bool {
	_, err := x.cfg.Keys.TableKey(day, "index")
	return errors.Is(err, seal.ErrErased)
}

// at is the time that the record claims.
func (r *record) at() time.Time {
	if r.event != nil {
		// What a submitter claims may lie beyond what nanoseconds since 1970 can tell.
		if t := r.event.Time.UTC(); t.Year() > 1678 && t.Year() < 2262 {
			return t
		}
	}
	return time.Unix(0, r.entry.SourceAt).UTC()
}

// day is the day key under which rows that come from the record alone lie. Where it is destroyed nothing can be sealed
// under it, and nothing that it protected is left.
func (r *record) day() uint32 {
	if r.event == nil {
		return 0
	}
	return r.entry.DayKey
}

// begins says whether the record is one of an exchange in its own right, so that there is a row for it: one that is
// recorded as it happens says so, one that is submitted has a type.
func (r *record) begins() bool {
	l := r.entry
	return !l.Exchange.IsZero() && (l.Flags&(steno.FlagOpens|steno.FlagContinues|steno.FlagCloses) != 0 || l.Exchange == l.Record ||
		strings.HasPrefix(r.kind, "inference."))
}

// fresh says whether the record is surely the first of its exchange that begins it.
func (r *record) fresh() bool {
	return r.entry.Flags&steno.FlagOpens != 0 || r.entry.Exchange == r.entry.Record
}

func (r *record) flags() []string {
	if r.event == nil {
		return []string{}
	}
	out := make([]string, 0, len(r.event.Flags))
	for _, f := range r.event.Flags {
		out = append(out, string(f))
	}
	return orderFlags(out)
}

// row returns the event's row.
func (r *record) row() *event {
	e := &event{
		EventRow: EventRow{ID: r.entry.Record, Exchange: r.entry.Exchange, Time: r.at(), Type: r.kind, Flags: r.flags(), Leaf: r.leaf},
		alias:    r.alias, day: r.day(),
	}
	if v := r.event; v != nil {
		if v.Identity != nil {
			e.User, e.conversation = v.Identity.User, v.Identity.Conversation
		}
		if v.Model != nil {
			e.model, e.answered = v.Model.Asked, v.Model.Answered
		}
		if v.Result != nil {
			e.status = string(v.Result.End)
		}
	}
	if r.state != "" {
		e.status = r.state
	}
	return e
}

// begin returns the row of an exchange of which the record is the first that is known.
func (r *record) begin() *exchange {
	return &exchange{
		Row: Row{ID: r.entry.Exchange, Time: r.at(), Status: StatusOpen, Flags: []string{}},
		day: r.day(),
	}
}

// add returns the row of an exchange with one record more.
func (x *exchange) add(r *record) *exchange {
	n := *x
	i, found := slices.BinarySearch(n.Leaves, r.leaf)
	if found {
		return x
	}
	n.Leaves = slices.Insert(slices.Clone(n.Leaves), i, r.leaf)
	if r.entry.Flags&steno.FlagOpens != 0 {
		n.Time, n.opened = r.at(), true
	}
	begins := r.begins()
	closes := begins && r.entry.Flags&steno.FlagCloses != 0
	if e := r.event; e != nil {
		n.Flags = orderFlags(append(slices.Clone(n.Flags), r.flags()...))
		n.identity(e.Identity, r.alias)
		if begins {
			n.answer(e)
			// One that was submitted has no flag; its type tells.
			closes = closes || r.entry.Flags&steno.FlagOpens == 0 && (r.kind == "inference.response" || e.Result != nil && e.Result.End != "")
		}
	}
	n.closed = n.closed || closes
	n.status(r, begins, closes)
	return &n
}

func (x *exchange) status(r *record, begins, closes bool) {
	switch {
	case x.Status == StatusErased || begins && r.state == StatusErased:
		x.Status, x.User = StatusErased, ""
	case x.Status == StatusUnreadable || begins && r.state == StatusUnreadable:
		x.Status = StatusUnreadable
	case closes && r.event != nil && r.event.Result != nil && r.event.Result.End != "":
		x.Status = string(r.event.Result.End)
	case closes:
		x.Status = string(steno.EndUnknown)
	}
}

// identity takes what no earlier record has told.
func (x *exchange) identity(id *steno.Identity, alias uint64) {
	if x.alias == 0 {
		x.alias = alias
	}
	if id == nil {
		return
	}
	for _, v := range []struct {
		dst  *string
		from string
	}{
		{&x.User, id.User},
		{&x.Conversation, id.Conversation},
		{&x.Role, id.Role},
		{&x.Team, id.Team},
		{&x.Tenant, id.Tenant},
		{&x.Key, id.Key},
		{&x.Address, id.Address},
	} {
		if *v.dst == "" {
			*v.dst = v.from
		}
	}
}

// answer takes what a record says of the model, what came back and when; later records know better.
func (x *exchange) answer(e *steno.Event) {
	set := func(dst *string, v string) {
		if v != "" {
			*dst = v
		}
	}
	if m := e.Model; m != nil {
		set(&x.Model, m.Asked)
		set(&x.AnsweredModel, m.Answered)
		set(&x.Provider, m.Provider)
		set(&x.Operation, m.Operation)
		set(&x.API, m.API)
	}
	if p := e.Prompt; p != nil {
		set(&x.Prompt, promptName(p))
	}
	if e.Data != nil {
		x.Documents = withDocuments(x.Documents, e.Data.Documents)
	}
	if t := e.Timing; t != nil {
		if t.LatencyMS != 0 {
			x.LatencyMS = ptr(t.LatencyMS)
		}
		if t.TTFT != 0 {
			x.TTFT = ptr(t.TTFT)
		}
	}
	res := e.Result
	if res == nil {
		return
	}
	set(&x.ResponseID, res.ID)
	if res.Status != 0 {
		x.HTTPStatus = res.Status
	}
	if u := res.Usage; u != nil {
		if u.Input != nil {
			x.InputTokens = u.Input
		}
		if u.Output != nil {
			x.OutputTokens = u.Output
		}
	}
	if c := res.Cost; c != nil {
		switch {
		case c.USD != "":
			x.Cost = ptr(c.USD)
		case c.State == Unpriced:
			x.Cost = ptr(Unpriced)
		}
	}
}

// promptName is how a template is asked for.
func promptName(p *steno.Prompt) string {
	if p.Name == "" {
		return p.Version
	}
	return p.Name + "@" + p.Version
}

// maxDocuments is how many documents of an exchange can be searched for.
const maxDocuments = 256

// withDocuments adds what documents are asked for by: their id, else the vector's, else the title. x is not changed.
func withDocuments(x []string, docs []steno.Document) []string {
	out := slices.Clone(x)
	for _, d := range docs {
		if name := cmp.Or(d.ID, d.VectorID, d.Title); name != "" && !slices.Contains(out, name) && len(out) < maxDocuments {
			out = append(out, name)
		}
	}
	return out
}

// ptr copies: a pointer into an event would keep all of it.
func ptr[T any](v T) *T { return &v }
