package capture

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/journal"
)

type submitted struct {
	Accepted   []string
	Duplicates []struct {
		Index int
		ID    string
	}
	Rejected []struct {
		Index      int
		ID, Reason string
	}
}

func event(id, actor string) string {
	return fmt.Sprintf(`{"type":"governance.model_approved","time":"2026-11-23T10:00:00Z","origin":{"source":"registry","id":%q},"system":{"action":"approve","actor":%q,"target":"gpt-4o","outcome":"approved"}}`, id, actor)
}

func (r *rig) submit(body string) (int, submitted) {
	r.t.Helper()
	resp, b, err := r.do(r.post("/v1/events", body))
	if err != nil {
		r.t.Fatal(err)
	}
	var s submitted
	if err := json.Unmarshal(b, &s); err != nil {
		r.t.Fatalf("%s: %v", b, err)
	}
	return resp.StatusCode, s
}

func TestSubmittedEvents(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	first := event("1", "ana")
	for _, c := range []struct {
		name, body                     string
		status                         int
		accepted, duplicates, rejected int
		reason                         string
	}{
		{"one", first, 200, 1, 0, 0, ""},
		{"the same again", first, 200, 0, 1, 0, ""},
		{"the same with other white space", strings.ReplaceAll(first, `,`, `, `), 200, 0, 1, 0, ""},
		{"another content under the same id", event("1", "bob"), 422, 0, 0, 1, "another event was recorded"},
		{"an array with a twin in it", "[" + event("2", "ana") + "," + event("2", "ana") + "," + event("3", "ana") + "]", 200, 2, 1, 0, ""},
		{"lines, one of them broken", event("4", "ana") + "\n{broken\n" + event("5", "ana"), 200, 2, 0, 1, "no event"},
		{"an unknown type", strings.Replace(event("6", "a"), "model_approved", "model_adored", 1), 422, 0, 0, 1, "model_adored"},
		{"an unknown member", strings.Replace(event("7", "a"), `"target"`, `"targt"`, 1), 422, 0, 0, 1, "targt"},
		{"a type that only steno makes", `{"type":"security.auth_failed","time":"2026-11-23T10:00:00Z","origin":{"source":"x","id":"8"},"identity":{"steno.auth":"failed"},"system":{"action":"auth_failed","outcome":"refused","reason":"invalid_api_key"}}`, 422, 0, 0, 1, "steno"},
		{"no origin", `{"type":"governance.model_approved","time":"2026-11-23T10:00:00Z","system":{"action":"a"}}`, 422, 0, 0, 1, "origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, s := r.submit(c.body)
			if status != c.status || len(s.Accepted) != c.accepted || len(s.Duplicates) != c.duplicates || len(s.Rejected) != c.rejected {
				t.Fatalf("status %d, %+v", status, s)
			}
			if c.rejected > 0 && !strings.Contains(s.Rejected[0].Reason, c.reason) {
				t.Errorf("the reason is %q", s.Rejected[0].Reason)
			}
		})
	}
	resp, body, err := r.do(r.post("/v1/events", first, "Authorization", "Bearer nonsense"))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a key: status %d, %v: %s", resp.StatusCode, err, body)
	}
}

func TestASubmittedEventSaysWhoVouchesForWhat(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	_, s := r.submit(`{"type":"inference.response","time":"2026-11-23T10:00:00Z","origin":{"source":"app","id":"1"},"identity":{"user.id":"ana","steno.key.id":"forged","steno.tenant":"other"},
		"model":{"gen_ai.request.model":"own-1"},"result":{"steno.end":"complete","gen_ai.output.messages":[{"role":"assistant","parts":[{"type":"text","content":"hello"}]}]}}`)
	if len(s.Accepted) != 1 {
		t.Fatalf("%+v", s)
	}
	e, err := r.log.Read(r.log.Size() - 1)
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.keys.Open(e.Leaf, e.Body, nil, steno.SectionIdentity|steno.SectionMetadata|steno.SectionOutput)
	if err != nil {
		t.Fatal(err)
	}
	id := o.Identity
	if id.User != "ana" || id.UserSource != "event" || id.Key != "k1" || id.Tenant != "acme" || fmt.Sprint(id.Asserted) != "[user.id]" {
		t.Errorf("identity is %+v", id)
	}
	if !strings.Contains(string(o.Result.Output), "hello") {
		t.Errorf("the words are %s", o.Result.Output)
	}
}

// TestTheTableOfIDsSurvives drops the table's files: what was submitted is known from the log.
func TestTheTableOfIDsSurvives(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	if status, _ := r.submit("[" + event("1", "a") + "," + event("2", "a") + "]"); status != 200 {
		t.Fatal(status)
	}
	for _, lose := range []bool{false, true} {
		if err := r.gateway.ids.close(); err != nil {
			t.Fatal(err)
		}
		dir := "/data/ids"
		if lose {
			dir = "/data/ids-lost"
		}
		var err error
		r.gateway.ids, err = openIDs(t.Context(), r.fs, dir, r.gateway.ids.mac, r.log, func(e *journal.Entry) (string, *steno.Origin) { return r.gateway.submitted(e) })
		if err != nil {
			t.Fatal(err)
		}
		if _, s := r.submit(event("2", "a")); len(s.Duplicates) != 1 {
			t.Errorf("lost %v: %+v", lose, s)
		}
		if _, s := r.submit(event("1", "b")); len(s.Rejected) != 1 {
			t.Errorf("lost %v: %+v", lose, s)
		}
	}
}

// TestTwoAtOnce submits one id from many connections: one is accepted, the others are its duplicates.
func TestTwoAtOnce(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	const n = 16
	got := make(chan submitted, n)
	for range n {
		go func() {
			resp, err := http.DefaultTransport.RoundTrip(r.post("/v1/events", event("one", "a")))
			var s submitted
			if err == nil {
				var b []byte
				if b, err = io.ReadAll(resp.Body); err == nil {
					err = json.Unmarshal(b, &s)
				}
			}
			if err != nil {
				t.Error(err)
			}
			got <- s
		}()
	}
	accepted, duplicates := 0, 0
	for range n {
		s := <-got
		accepted += len(s.Accepted)
		duplicates += len(s.Duplicates)
	}
	if accepted != 1 || duplicates != n-1 {
		t.Errorf("%d accepted, %d duplicates", accepted, duplicates)
	}
}

func FuzzSplitEvents(f *testing.F) {
	for _, s := range []string{event("1", "a"), "[" + event("1", "a") + "]", event("1", "a") + "\n\n" + event("2", "b"), "[", "{", "\x00", "1 2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		raws, err := splitEvents(b)
		if err == nil && len(raws) == 0 && len(strings.TrimSpace(string(b))) > 2 && !strings.HasPrefix(strings.TrimSpace(string(b)), "[") {
			t.Errorf("%q is no event and no error", b)
		}
	})
}
