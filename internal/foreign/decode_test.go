package foreign

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

func TestFlatTimes(t *testing.T) {
	want := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		in      string
		assumed bool
	}{
		{`"2026-11-23T09:30:00Z"`, false},
		{`"2026-11-23T10:30:00+01:00"`, false},
		{`"2026-11-23T10:30:00+0100"`, false},
		{`"2026-11-23 10:30:00 +0100"`, false},
		{`"2026-11-23T09:30:00"`, true},
		{`"2026-11-23 09:30:00"`, true},
		{`"2026-11-23T09:30:00.000000"`, true},
		{`1795426200`, false},
		{`1795426200000`, false},
		{`"2026-11-23 09:30:00 UTC"`, false},
	} {
		got, assumed, err := parseTime(json.RawMessage(c.in))
		if err != nil || !got.Equal(want) || assumed != c.assumed {
			t.Errorf("%s is %v, assumed %v: %v", c.in, got, assumed, err)
		}
	}
	for _, bad := range []string{`"today"`, `"2026-13-01T00:00:00Z"`, `true`, `-5`, `"2026-11-23 09:30:00 XYZ"`, `{}`} {
		if got, _, err := parseTime(json.RawMessage(bad)); err == nil {
			t.Errorf("%s is %v", bad, got)
		}
	}
}

func TestFlat(t *testing.T) {
	for _, c := range []struct{ in, wrong string }{
		{`{"event_id":7,"model":"m","tokens_used":{"prompt":3,"completion":4,"total":7},"safety_flags":"none"}`, ""},
		{`{"event_id":"1","model":"m","safety_flags":{"jailbreak":true,"hate":false}}`, ""},
		{`{"event_id":"1","model":"m","latency_ms":"12.5"}`, ""},
		{`{"model":"m"}`, "event_id is missing"},
		{`{"event_id":"1"}`, "model is missing"},
		{`{"event_id":"1","model":"m","latency_ms":"fast"}`, "latency_ms is"},
		{`{"event_id":"1","model":"m","latency_ms":-1}`, "0 or more"},
		{`{"event_id":"1","model":"m","tokens_used":"many"}`, "tokens_used is"},
		{`{"event_id":"1","model":"m","tokens_used":{"whole":1}}`, "whole"},
		{`{"event_id":"1","model":"m","safety_flags":[1]}`, "safety_flags is"},
		{`{"event_id":["1"],"model":"m"}`, "event_id is"},
		{`[1]`, "no JSON object"},
	} {
		s, err := Flat([]byte(c.in))
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %v", c.in, err)
		}
		if err == nil {
			s.Origin.Source = "x"
			if err := steno.Validate(&s.Event); err != nil {
				t.Errorf("%s: %v", c.in, err)
			}
		}
	}
	s, err := Flat([]byte(`{"event_id":"1","model":"m","error":"rate limit was hit","response":null,"safety_flags":["sexual/minors"]}`))
	if err != nil || s.Result.End != steno.EndProviderError || s.System == nil || s.Flags[0] != "sexual" {
		t.Errorf("%+v %v", s, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"event_id":"e1","timestamp":"2026-11-23T10:00:00","user_id":"ana","model":"m","prompt":"p","response":"r","latency_ms":1,"tokens_used":2,"safety_flags":["pii"]}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"governance.decision","data":{"system":{"action":"a"}}}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"x","data_base64":"e30=","time":"2026-11-23T10:00:00"}`,
		`{"type":"inference.call","request":{"body":"x"}}`, `{"event_id":"1","safety_flags":{"a":true},"tokens_used":{"prompt":1e300}}`, `null`, `"specversion"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(b)
		if d.Submission == nil {
			t.Fatalf("%q is nothing, not even an event to name: %v", b, err)
		}
		if err != nil {
			return
		}
		if _, err := json.Marshal(d.Submission); err != nil {
			t.Errorf("%q became what cannot be sent: %v", b, err)
		}
		again, err := Decode(b)
		if err != nil || string(again.Content) != string(d.Content) {
			t.Errorf("%q is not the same when it is read again: %v", b, err)
		}
	})
}
