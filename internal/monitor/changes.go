package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// route is where calls of one kind come from and go to.
type route struct{ tenant, key, upstream, api string }

// subject is what has a value that may change: of a route the model asked for, and of that the model that answers and its
// fingerprint.
type subject struct {
	route
	asked, member string
}

// The members that are compared, by their names in the event model.
const (
	memberAsked       = "gen_ai.request.model"
	memberAnswered    = "gen_ai.response.model"
	memberFingerprint = "openai.response.system_fingerprint"
)

// change is one that is on record: the leaf of the first call with the new value.
type change struct {
	leaf   uint64
	member string
}

// pair is a change from one value to another, and recent when it was last recorded: a route that goes back and forth
// between two models is recorded once in quietFor, with how often it did.
type pair struct {
	subject
	before, after string
}

type recent struct {
	at    time.Time
	times int // since then
}

const quietFor = time.Hour

// take looks at one record.
func (f *Follower) take(ctx context.Context, e *journal.Entry) error {
	o := f.glance(e)
	if o == nil {
		return nil
	}
	switch {
	case strings.HasPrefix(o.Type, "governance.model_"):
		if o = f.open(e); o != nil {
			f.approval(e.Index, o)
		}
		return nil
	case !strings.HasPrefix(o.Type, "inference.") || o.Model == nil:
		return nil
	}
	opens, closes := e.Leaf.Flags&steno.FlagOpens != 0, e.Leaf.Flags&steno.FlagCloses != 0
	if opens && !closes {
		if len(f.calls) < maxCalls {
			f.calls[e.Leaf.Exchange] = routeOf(o)
		}
		return nil
	}
	if !closes && o.Type != "inference.call" {
		return nil
	}
	r, ok := f.calls[e.Leaf.Exchange]
	delete(f.calls, e.Leaf.Exchange)
	if !ok {
		r = f.lost(ctx, e, o)
	}
	if o.Result == nil || o.Result.Status >= 300 || o.Model.Answered == "" {
		return nil // it says nothing of who answers
	}
	for _, v := range []struct{ asked, member, value string }{
		{"", memberAsked, o.Model.Asked},
		{o.Model.Asked, memberAnswered, o.Model.Answered},
		{o.Model.Asked, memberFingerprint, o.Model.Fingerprint},
	} {
		if v.value == "" {
			continue
		}
		if err := f.see(ctx, subject{r, v.asked, v.member}, v.value, e, o); err != nil {
			return err
		}
	}
	return nil
}

func routeOf(o *seal.Opened) route {
	r := route{upstream: o.Model.Upstream, api: o.Model.API}
	if r.upstream == "" {
		r.upstream = o.Model.Provider
	}
	if id := o.Identity; id != nil {
		r.tenant, r.key = id.Tenant, id.Key
		if r.key == "" {
			r.key = id.CredentialMAC
		}
	}
	return r
}

// lost finds the route of a call that began before this process or the state did.
func (f *Follower) lost(ctx context.Context, e *journal.Entry, o *seal.Opened) route {
	r := routeOf(o)
	if e.Leaf.Flags&steno.FlagOpens != 0 || o.Type == "inference.call" {
		return r
	}
	if err := f.cfg.Index.Wait(ctx, e.Index); err != nil {
		return r
	}
	row, err := f.cfg.Index.Exchange(ctx, e.Leaf.Exchange)
	if err != nil || len(row.Leaves) == 0 {
		return r
	}
	if first, err := f.cfg.Log.Read(row.Leaves[0]); err == nil {
		if o := f.glance(first); o != nil && o.Model != nil {
			return routeOf(o)
		}
	}
	return r
}

func (f *Follower) hash(parts ...string) string {
	b, err := json.Marshal(parts)
	if err != nil {
		panic(err) // strings always marshal
	}
	return strings.TrimPrefix(f.cfg.Keys.CredentialMAC(b), "mac:")
}

func (s *subject) parts() []string {
	return []string{s.tenant, s.key, s.upstream, s.api, s.asked, s.member}
}

// see compares a value with the one last seen of its subject.
func (f *Follower) see(ctx context.Context, s subject, value string, e *journal.Entry, o *seal.Opened) error {
	before, known := f.values[s]
	if known && before == value {
		return nil
	}
	key, hash := f.hash(s.parts()...), f.hash("value", value)
	last, stored := f.state.Seen[key]
	if !stored && len(f.state.Seen) >= maxSubjects {
		return nil // more routes than anybody watches; what is watched goes on
	}
	f.values[s] = value
	if stored && last.Value == hash {
		return nil
	}
	f.state.Seen[key] = seen{hash, e.Index}
	if !stored {
		return nil
	}
	if !known {
		before = f.valueAt(last.Leaf, s.member)
	}
	return f.changed(ctx, s, before, value, last.Leaf, e, o)
}

// valueAt reads a value where it was seen; it may be erased since.
func (f *Follower) valueAt(leaf uint64, member string) string {
	const gone = "(erased)"
	e, err := f.cfg.Log.Read(leaf)
	if err != nil {
		return gone
	}
	o := f.glance(e)
	if o == nil || o.Model == nil {
		return gone
	}
	switch member {
	case memberAsked:
		return o.Model.Asked
	case memberAnswered:
		return o.Model.Answered
	}
	return o.Model.Fingerprint
}

// changed records a change, unless the same was recorded a short time ago or by a process before this one.
func (f *Follower) changed(ctx context.Context, s subject, before, after string, last uint64, e *journal.Entry, o *seal.Opened) error {
	if f.announced[change{e.Index, s.member}] {
		return nil
	}
	at := time.Unix(0, e.Leaf.SourceAt).UTC()
	p := pair{s, before, after}
	times := 1
	if r := f.pairs[p]; r != nil {
		if r.times++; at.Sub(r.at) < quietFor {
			return nil
		}
		times = r.times
	}
	if len(f.pairs) >= maxSubjects {
		clear(f.pairs)
	}
	f.pairs[p] = &recent{at: at}
	approved := f.approved(s.tenant, after)
	details := map[string]json.RawMessage{}
	for name, v := range map[string]any{"member": s.member, "before": before, "after": after, "approved": approved, "times": times} {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		details[name] = b
	}
	now := f.cfg.Now().UTC()
	id := &steno.Identity{Tenant: s.tenant, UserSource: "tenant"}
	if !strings.HasPrefix(s.key, "mac:") {
		id.Key = s.key
	}
	m := &steno.Model{
		Provider: o.Model.Provider, Operation: o.Model.Operation, Asked: o.Model.Asked, Answered: o.Model.Answered,
		Fingerprint: o.Model.Fingerprint, Upstream: o.Model.Upstream, API: o.Model.API, Dialect: o.Model.Dialect,
	}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "governance.model_changed", Exchange: e.Leaf.Exchange, Time: now, Identity: id, Model: m,
		Links:  []steno.Link{{Rel: "first", Record: e.Leaf.Record, Leaf: &e.Index}, {Rel: "previous", Leaf: &last}},
		System: &steno.System{Action: "model_changed", Target: strings.Trim(s.upstream+" "+s.api, " "), Details: details},
	}}
	if err := f.cfg.Record(ctx, d); err != nil {
		return fmt.Errorf("couldn't record that a model changed: %w", err)
	}
	return nil
}

// approval takes down that a person approved of a model, or withdrew it.
func (f *Follower) approval(leaf uint64, o *seal.Opened) {
	var names []string
	switch o.Type {
	case "governance.model_approved", "governance.model_deployed", "governance.model_switched", "governance.model_rolled_back", "governance.model_retired":
	default:
		return
	}
	if o.System != nil {
		names = append(names, o.System.Target, detail(o.System, "after"))
	}
	if o.Model != nil {
		names = append(names, o.Model.Asked, o.Model.Answered, o.Model.Version, o.Model.Fingerprint)
	}
	tenant := ""
	if o.Identity != nil {
		tenant = o.Identity.Tenant
	}
	for _, n := range names {
		if n == "" {
			continue
		}
		if key := f.hash("approved", tenant, n); o.Type == "governance.model_retired" {
			delete(f.state.OK, key)
		} else {
			f.state.OK[key] = leaf
		}
	}
}

// approved says whether a person's word on record covers a value: a model's name, version or fingerprint.
func (f *Follower) approved(tenant, value string) bool {
	_, ok := f.state.OK[f.hash("approved", tenant, value)]
	return ok
}
