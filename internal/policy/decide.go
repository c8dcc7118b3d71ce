package policy

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// Caller is who asks, as far as somebody vouches for it.
type Caller struct {
	Auth   string // key, jwt, mtls, passthrough, anonymous
	Key    string
	User   string
	Team   string
	Role   string
	Tenant string
	Issuer string
}

// Model is what is asked.
type Model struct {
	Name     string
	Provider string
	Upstream string
}

// Question is one call, as policies see it.
type Question struct {
	Caller     Caller
	Model      Model
	Operation  string
	Stream     bool
	Understood bool
	Tools      []string
	Findings   []string
	Classes    []string // of data, found or asserted
	Asserted   []string // of them those that only the application says
	Address    netip.Addr
	Time       time.Time
	LeftUSD    *int64 // of the budget, in ten-thousandths of a dollar, which is as fine as Cedar's decimal
	LeftTokens *int64
}

// Decision is the answer, and what made it.
type Decision struct {
	Permit   bool
	Policies []string // ids of the policies that decided; none where nothing permitted
	Message  string   // the @message of the first forbidding one that has any
	Failed   []string // ids of the policies that could not be evaluated
}

// Decide answers a question. Cedar's rule holds: no unless something permits, and no if anything forbids. Other than in
// Cedar a forbidding policy that cannot be evaluated forbids.
func (s *Set) Decide(q *Question) Decision {
	request, entities := q.request()
	allowed, diag := cedar.Authorize(s.policies, entities, request)
	d := Decision{Permit: bool(allowed)}
	for _, r := range diag.Reasons {
		d.Policies = append(d.Policies, string(r.PolicyID))
	}
	for _, e := range diag.Errors {
		d.Failed = append(d.Failed, string(e.PolicyID))
		if s.policies.Get(e.PolicyID).Effect() == cedar.Forbid {
			if d.Permit {
				d.Permit, d.Policies = false, nil
			}
			d.Policies = append(d.Policies, string(e.PolicyID))
		}
	}
	slices.Sort(d.Policies)
	d.Policies = slices.Compact(d.Policies)
	slices.Sort(d.Failed)
	if !d.Permit {
		for _, id := range d.Policies {
			if m := s.policies.Get(cedar.PolicyID(id)).Annotations()["message"]; m != "" {
				d.Message = string(m)
				break
			}
		}
	}
	return d
}

// id names the caller as the entity's id.
func (c *Caller) id() string {
	switch {
	case c.Auth == "key":
		return "key:" + c.Key
	case c.User != "":
		return c.Auth + ":" + c.User
	}
	return c.Auth
}

func (q *Question) request() (cedar.Request, cedar.EntityMap) {
	uid := func(typ, id string) cedar.EntityUID {
		return cedar.NewEntityUID(cedar.EntityType(typ), cedar.String(id))
	}
	entities := cedar.EntityMap{}
	add := func(e cedar.EntityUID, attributes cedar.RecordMap, parents ...cedar.EntityUID) cedar.EntityUID {
		for _, p := range parents {
			entities[p] = cedar.Entity{UID: p}
		}
		entities[e] = cedar.Entity{UID: e, Parents: cedar.NewEntityUIDSet(parents...), Attributes: cedar.NewRecord(attributes)}
		return e
	}
	c := &q.Caller
	attributes := cedar.RecordMap{"auth": cedar.String(c.Auth)}
	var groups []cedar.EntityUID
	for _, a := range []struct{ name, value, group string }{
		{"key", c.Key, ""},
		{"user", c.User, ""},
		{"team", c.Team, "Team"},
		{"role", c.Role, "Role"},
		{"tenant", c.Tenant, "Tenant"},
		{"issuer", c.Issuer, ""},
	} {
		if a.value == "" {
			continue
		}
		attributes[cedar.String(a.name)] = cedar.String(a.value)
		if a.group != "" {
			groups = append(groups, uid(a.group, a.value))
		}
	}
	principal := add(uid("Caller", c.id()), attributes, groups...)
	m, family := &q.Model, Family(q.Model.Name)
	resource := add(uid("Model", m.Upstream+"/"+m.Name), cedar.RecordMap{
		"name": cedar.String(m.Name), "family": cedar.String(family), "provider": cedar.String(m.Provider), "upstream": cedar.String(m.Upstream),
	}, uid("Provider", m.Provider), uid("Upstream", m.Upstream), uid("Family", family))
	action := add(uid("Action", "call"), nil)
	return cedar.Request{Principal: principal, Action: action, Resource: resource, Context: q.context()}, entities
}

func (q *Question) context() cedar.Record {
	at := q.Time.UTC()
	weekday := (int(at.Weekday())+6)%7 + 1
	r := cedar.RecordMap{
		"operation": cedar.String(q.Operation), "stream": cedar.Boolean(q.Stream), "understood": cedar.Boolean(q.Understood),
		"tools": words(q.Tools), "findings": words(q.Findings), "data_classes": words(q.Classes), "asserted_data_classes": words(q.Asserted),
		"time": cedar.NewDatetime(at), "hour": cedar.Long(at.Hour()), "weekday": cedar.Long(weekday),
	}
	if q.Address.IsValid() {
		a := q.Address.Unmap().WithZone("")
		r["address"] = cedar.IPAddr(netip.PrefixFrom(a, a.BitLen()))
	}
	if q.LeftUSD != nil {
		if d, err := cedar.NewDecimal(*q.LeftUSD, -4); err == nil {
			r["budget_left_usd"] = d
		}
	}
	if q.LeftTokens != nil {
		r["budget_left_tokens"] = cedar.Long(*q.LeftTokens)
	}
	return cedar.NewRecord(r)
}

func words(in []string) cedar.Set {
	out := make([]cedar.Value, len(in))
	for i, s := range in {
		out[i] = cedar.String(s)
	}
	return cedar.NewSet(out...)
}

// Family is a model's name without what changes from release to release and from place to place: the region and provider
// of Bedrock's names, a path, and a date or "latest" at the end.
func Family(name string) string {
	name = strings.ToLower(name)
	name = name[strings.LastIndexByte(name, '/')+1:]
	for {
		first, rest, ok := strings.Cut(name, ".")
		if !ok || !bedrockParts[first] {
			break
		}
		name = rest
	}
	name, _, _ = strings.Cut(name, ":")
	name, _, _ = strings.Cut(name, "@")
	name = strings.TrimSuffix(name, "-latest")
	if i := strings.LastIndexByte(name, '-'); i > 0 && len(name)-i == 3 && name[i+1] == 'v' && digits(name[i+2:]) {
		name = name[:i] // anthropic.claude-…-20250929-v1:0
	}
	if n := len(name); n > 11 && name[n-11] == '-' && name[n-6] == '-' && name[n-3] == '-' && digits(name[n-10:n-6]+name[n-5:n-3]+name[n-2:]) {
		return name[:n-11]
	}
	if i := strings.LastIndexByte(name, '-'); i > 0 && (len(name)-i == 9 || len(name)-i == 5) && digits(name[i+1:]) {
		return name[:i]
	}
	return name
}

var bedrockParts = map[string]bool{
	"us": true, "eu": true, "apac": true, "global": true, "us-gov": true, "jp": true, "au": true, "ca": true,
	"anthropic": true, "amazon": true, "meta": true, "mistral": true, "cohere": true, "ai21": true, "deepseek": true, "qwen": true, "openai": true, "stability": true, "writer": true,
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
