package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, text string) *Set {
	t.Helper()
	s, err := Parse([]Source{{"call.cedar", []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const house = `
@id("staff") permit(principal in Tenant::"acme", action == Action::"call", resource);
@id("no-secrets")
@message("no secrets in prompts")
forbid(principal, action, resource) when { context.data_classes.contains("secret") };
@id("small-for-support")
@message("support uses small models")
forbid(principal in Team::"support", action, resource) unless { resource in Family::"gpt-4o-mini" };
@id("from-inside")
forbid(principal, action, resource) unless { context has address && context.address.isInRange(ip("10.0.0.0/8")) };
@id("poor")
forbid(principal, action, resource in Provider::"anthropic") when { context has budget_left_usd && context.budget_left_usd.lessThan(decimal("1.5")) };
@id("office-hours")
forbid(principal in Role::"intern", action, resource) when { context.hour < 8 || context.weekday > 5 };
`

func TestDecide(t *testing.T) {
	s := parse(t, house)
	usd := func(v int64) *int64 { return &v }
	ask := func(edit func(*Question)) Question {
		q := Question{
			Caller: Caller{Auth: "key", Key: "k1", Tenant: "acme", Team: "support"}, Model: Model{"gpt-4o-mini-2024-07-18", "openai", "openai"},
			Address: netip.MustParseAddr("::ffff:10.1.2.3"), Time: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC),
		}
		edit(&q)
		return q
	}
	for name, c := range map[string]struct {
		edit    func(*Question)
		permit  bool
		by      []string
		message string
	}{
		"permitted":        {func(*Question) {}, true, []string{"staff"}, ""},
		"nothing permits":  {func(q *Question) { q.Caller.Tenant = "other" }, false, nil, ""},
		"a data class":     {func(q *Question) { q.Classes = []string{"secret"} }, false, []string{"no-secrets"}, "no secrets in prompts"},
		"another family":   {func(q *Question) { q.Model.Name = "gpt-4o" }, false, []string{"small-for-support"}, "support uses small models"},
		"from elsewhere":   {func(q *Question) { q.Address = netip.MustParseAddr("192.0.2.1") }, false, []string{"from-inside"}, ""},
		"from nowhere":     {func(q *Question) { q.Address = netip.Addr{} }, false, []string{"from-inside"}, ""},
		"budget":           {func(q *Question) { q.Model.Provider, q.LeftUSD = "anthropic", usd(14_999) }, false, []string{"poor"}, ""},
		"enough budget":    {func(q *Question) { q.Model.Provider, q.LeftUSD = "anthropic", usd(15_000) }, true, []string{"staff"}, ""},
		"sunday":           {func(q *Question) { q.Caller.Role, q.Time = "intern", time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC) }, false, []string{"office-hours"}, ""},
		"in another zone":  {func(q *Question) { q.Caller.Role, q.Time = "intern", q.Time.In(time.FixedZone("", -5*3600)) }, true, []string{"staff"}, ""},
		"two at once":      {func(q *Question) { q.Model.Name, q.Classes = "o3", []string{"secret"} }, false, []string{"no-secrets", "small-for-support"}, "no secrets in prompts"},
		"nobody vouches":   {func(q *Question) { q.Caller = Caller{Auth: "anonymous"} }, false, nil, ""},
		"asserted is seen": {func(q *Question) { q.Classes, q.Asserted = []string{"public"}, []string{"public"} }, true, []string{"staff"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			q := ask(c.edit)
			request, entities := q.request()
			if err := errors.Join(validator.Request(request), validator.Entities(entities)); err != nil {
				t.Errorf("the question is not as the schema says: %v", err)
			}
			d := s.Decide(&q)
			if d.Permit != c.permit || !slices.Equal(d.Policies, c.by) || d.Message != c.message {
				t.Errorf("decided %+v, want permit %v by %v, message %q", d, c.permit, c.by, c.message)
			}
		})
	}
}

// TestForbidThatFails holds where steno is stricter than Cedar: overflow is an error that no validation sees.
func TestForbidThatFails(t *testing.T) {
	const over = `(context.hour + 9223372036854775807) > 1`
	q := &Question{Caller: Caller{Auth: "anonymous"}, Time: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	d := parse(t, `@id("all") permit(principal, action, resource); @id("broken") forbid(principal, action, resource) when { `+over+` };`).Decide(q)
	if d.Permit || !slices.Equal(d.Policies, []string{"broken"}) || !slices.Equal(d.Failed, []string{"broken"}) {
		t.Errorf("a forbidding policy that fails: %+v", d)
	}
	d = parse(t, `@id("all") permit(principal, action, resource); @id("broken") permit(principal, action, resource) when { `+over+` };`).Decide(q)
	if !d.Permit || !slices.Equal(d.Policies, []string{"all"}) || !slices.Equal(d.Failed, []string{"broken"}) {
		t.Errorf("a permitting policy that fails: %+v", d)
	}
}

func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		line   int
		reason string
	}{
		"syntax":            {"permit(principal, action, resource);\nforbid(principal action);", 2, ""},
		"attribute":         {"permit(principal, action, resource);\n\nforbid(principal, action, resource)\nwhen { resource.shape == \"x\" };", 3, "shape"},
		"optional":          {`forbid(principal, action, resource) when { principal.team == "x" };`, 1, "team"},
		"type":              {`forbid(principal, action, resource) when { context.hour == "nine" };`, 1, ""},
		"entity":            {`permit(principal == User::"ana", action, resource);`, 1, "User"},
		"action":            {`permit(principal, action == Action::"read", resource);`, 1, "read"},
		"annotation":        {`@massage("x") permit(principal, action, resource);`, 1, "@massage"},
		"twice":             {"@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);", 2, "call.cedar:1"},
		"nothing":           {"// later", 0, "no policies"},
		"impossible parent": {`permit(principal in Family::"x", action, resource);`, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]Source{{"call.cedar", []byte(c.text)}})
			var m Mistakes
			if !errors.As(err, &m) || len(m) == 0 {
				t.Fatalf("no mistakes but %v", err)
			}
			if m[0].Line != c.line || !strings.Contains(m[0].Reason, c.reason) || m[0].File != "call.cedar" {
				t.Errorf("said %q at line %d; want line %d and %q", m[0].Error(), m[0].Line, c.line, c.reason)
			}
		})
	}
}

func TestFamily(t *testing.T) {
	for name, want := range map[string]string{
		"gpt-4o-mini-2024-07-18": "gpt-4o-mini", "gpt-4o-mini": "gpt-4o-mini", "claude-sonnet-4-5-20250929": "claude-sonnet-4-5", "claude-3-5-haiku-latest": "claude-3-5-haiku",
		"us.anthropic.claude-sonnet-4-5-20250929-v1:0": "claude-sonnet-4-5", "models/gemini-2.5-flash": "gemini-2.5-flash", "gpt-4.1": "gpt-4.1", "gpt-4-0613": "gpt-4",
		"meta.llama3-70b-instruct-v1:0": "llama3-70b-instruct", "claude-sonnet-4-5@20250929": "claude-sonnet-4-5", "": "", "o3": "o3", "-": "-",
	} {
		if got := Family(name); got != want {
			t.Errorf("Family(%q) = %q, want %q", name, got, want)
		}
	}
}

const casesText = `
policies: [call.cedar]
cases:
  - name: staff
    request: {caller: {key: k1, tenant: acme}, model: {name: gpt-4o, provider: openai}, address: 10.0.0.1}
    expect: permit
    by: [staff]
  - name: secret
    request: {caller: {key: k1, tenant: acme}, model: {name: gpt-4o, provider: openai}, address: 10.0.0.1, asserted_data_classes: [secret]}
    expect: deny
    by: [no-secrets]
  - name: wrong
    request: {caller: {key: k1, tenant: acme}, model: {name: gpt-4o, provider: openai}, address: 10.0.0.1}
    expect: deny
  - name: by another
    request: {caller: {key: k1, tenant: acme}, model: {name: gpt-4o, provider: openai}, address: 10.0.0.1, budget_left_usd: "3.10", time: "2026-11-24T09:00:00Z"}
    expect: permit
    by: [other]
`

func TestCases(t *testing.T) {
	s := parse(t, house)
	c, err := ParseCases("dir/cases.yaml", []byte(casesText))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Policies, []string{"dir/call.cedar"}) {
		t.Errorf("policies are %v", c.Policies)
	}
	var ok []bool
	for i := range c.Cases {
		ok = append(ok, s.Try(&c.Cases[i]).OK)
	}
	if !slices.Equal(ok, []bool{true, true, false, false}) {
		t.Errorf("outcomes are %v", ok)
	}
	for _, c := range []struct{ text, want string }{
		{"cases:\n  - name: x\n    expect: maybe\n", "neither permit nor deny"},
		{"cases:\n  - name: x\n    expct: permit\n", "c.yaml:3"},
		{"cases:\n  - expect: permit\n    request: {address: here}\n", `case "case 1": request.address`},
		{"cases:\n  - expect: permit\n    request: {time: noon}\n", "request.time"},
		{"cases:\n  - expect: permit\n    request: {budget_left_usd: some}\n", "request.budget_left_usd"},
		{"", "0 cases"},
	} {
		if _, err := ParseCases("c.yaml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(house)
	f.Add(`@id("x") permit(principal, action, resource) when { context.tools.contains("sh") };`)
	f.Add("permit(")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse([]Source{{"f.cedar", []byte(text)}})
		if err != nil {
			return
		}
		q := &Question{Caller: Caller{Auth: "key", Key: "k"}, Model: Model{"m", "p", "u"}}
		d := s.Decide(q)
		if d.Permit && len(d.Policies) == 0 {
			t.Error("permitted by no policy")
		}
		for _, id := range d.Policies {
			if !slices.Contains(s.IDs(), id) {
				t.Errorf("decided by %q, which is not in the set", id)
			}
		}
	})
}

func FuzzParseCases(f *testing.F) {
	f.Add([]byte(casesText))
	f.Add([]byte("cases: [{expect: permit}]"))
	s, err := Parse([]Source{{"call.cedar", []byte(house)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCases("c.yaml", text)
		if err != nil {
			return
		}
		for i := range c.Cases {
			if o := s.Try(&c.Cases[i]); o.OK == (o.Want != "") {
				t.Errorf("%+v", o)
			}
		}
	})
}
