package capture

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/policy"
)

// SetPolicy puts a call policy in force for every call from now on; nil permits them all.
func (g *Gateway) SetPolicy(s *policy.Set) { g.policy.Store(s) }

// dataClasses are the flags that say which class of data a text holds, rather than what somebody is up to.
var dataClasses = []steno.Flag{"secret", "personal_data"}

const maxClasses = 16 // of data that one call may assert

// assertedClasses reads the x-steno-data-class headers: names with commas between them.
func assertedClasses(h http.Header) []string {
	var out []string
	for _, line := range h.Values("X-Steno-Data-Class") {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if name != "" && len(name) <= maxAsserted && len(out) < maxClasses && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// question is the call as the policy sees it. Only what somebody vouches for says who calls: a role in x-steno-role is the
// application's word and not in it.
func (x *exchange) question() *policy.Question {
	q := &policy.Question{
		Caller:    policy.Caller{Auth: x.who.auth, Issuer: x.who.issuer},
		Model:     policy.Model{Name: x.parsed.Model.Asked, Provider: x.up.provider, Upstream: x.up.Name},
		Operation: x.call.Operation, Stream: x.parsed.Model.Stream, Understood: x.parsed.Understood, Tools: x.parsed.Prompt.Tools, Time: time.Now().UTC(),
	}
	if k := x.who.key; k != nil {
		q.Caller.Key, q.Caller.User, q.Caller.Team, q.Caller.Role, q.Caller.Tenant = k.ID, k.User, k.Team, k.Role, k.Tenant
		if k.Budget != nil {
			use := x.g.spent.use(k.ID, q.Time)
			left := k.Budget.Left(&use)
			if k.Budget.Tokens > 0 {
				q.LeftTokens = &left
			} else {
				left /= 1e5
				q.LeftUSD = &left
			}
		}
	}
	for _, f := range flagsOf(x.safety) {
		q.Findings = append(q.Findings, string(f))
		if slices.Contains(dataClasses, f) {
			q.Classes = append(q.Classes, string(f))
		}
	}
	for _, name := range assertedClasses(x.r.Header) {
		if !slices.Contains(q.Classes, name) {
			q.Classes, q.Asserted = append(q.Classes, name), append(q.Asserted, name)
		}
	}
	if a, err := netip.ParseAddr(x.identity.Address); err == nil {
		q.Address = a
	}
	return q
}

// decide asks the call policy. It reports whether the call goes on; where it does not the caller has been answered.
func (x *exchange) decide() bool {
	set := x.g.policy.Load()
	if set == nil {
		return true
	}
	start := time.Now().UTC()
	q := x.question()
	d := set.Decide(q)
	out := &steno.Decision{Decision: "permit", Policies: d.Policies, Version: set.Version(), Classes: q.Classes, Asserted: q.Asserted, Failed: d.Failed}
	if x.safety == nil {
		x.safety = &steno.Safety{}
	}
	x.safety.Policy = out
	if d.Permit {
		return true
	}
	out.Decision = "deny"
	x.step("checks_in", start, "refused", "policy")
	message := d.Message
	if message == "" {
		message = "the call policy of this gateway does not permit this call"
	}
	x.refuse(http.StatusForbidden, "policy_denied", message+"; exchange "+x.id.String()+" says which policies decided")
	return false
}
