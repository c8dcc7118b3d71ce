package index

import (
	"fmt"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// TestWhatUsedADocument: from a document and from a prompt to the exchanges that used them, and back.
func TestWhatUsedADocument(t *testing.T) {
	a, b, c := newCall("ana", "gpt-5", "", noon), newCall("ben", "gpt-5", "", noon.Add(time.Second)), newCall("ana", "gpt-5", "", noon.Add(2*time.Second))
	everywhere(t, func(l *testLog) {
		for _, x := range []struct {
			call    call
			prompt  steno.Prompt
			in, out []steno.Document
		}{
			{a, steno.Prompt{Name: "support", Version: "12"}, []steno.Document{{ID: "terms", Origin: "asserted"}}, []steno.Document{{Title: "Price list", Origin: "citation"}}},
			{b, steno.Prompt{Version: "mac:00ff"}, []steno.Document{{VectorID: "v-7", Origin: "asserted"}, {ID: "terms", Origin: "asserted"}}, nil},
			{c, steno.Prompt{Name: "support", Version: "13"}, nil, nil},
		} {
			request, response := x.call.requestDraft(), x.call.responseDraft(steno.EndComplete)
			request.Prompt = &x.prompt
			if x.in != nil {
				request.Data = &steno.Data{Documents: x.in}
			}
			if x.out != nil {
				response.Data = &steno.Data{Documents: x.out}
			}
			l.record(request, steno.FlagOpens)
			l.record(response, steno.FlagCloses)
		}
		for range 10 {
			l.complete(newCall("eve", "gpt-5", "", l.pass(time.Minute)))
		}
	}, func(t *testing.T, _ *testLog, x *Index) {
		for _, q := range []struct {
			query Query
			want  []steno.ID
		}{
			{Query{Document: "terms"}, []steno.ID{a.exchange, b.exchange}},
			{Query{Document: "Price list"}, []steno.ID{a.exchange}},
			{Query{Document: "v-7", User: "ben"}, []steno.ID{b.exchange}},
			{Query{Document: "v-7", User: "ana"}, nil},
			{Query{Document: "term"}, nil},
			{Query{Prompt: "support@12"}, []steno.ID{a.exchange}},
			{Query{Prompt: "mac:00ff"}, []steno.ID{b.exchange}},
		} {
			var got []steno.ID
			for _, r := range exchanges(t, x, q.query) {
				got = append(got, r.ID)
			}
			if fmt.Sprint(got) != fmt.Sprint(q.want) {
				t.Errorf("%+v gives %v, want %v", q.query, got, q.want)
			}
		}
		row, err := x.Exchange(t.Context(), a.exchange)
		if err != nil || row.Prompt != "support@12" || fmt.Sprint(row.Documents) != "[terms Price list]" {
			t.Errorf("%v: prompt %q, documents %q", err, row.Prompt, row.Documents)
		}
	})
}

func TestEventsOfALog(t *testing.T) {
	everywhere(t, func(l *testLog) {
		for i := range 12 {
			c := newCall("ana", "gpt-5", "", l.pass(time.Second))
			l.complete(c)
			if i%4 == 0 {
				l.record(c.alertDraft("secret"), 0)
			}
		}
	}, func(t *testing.T, _ *testLog, x *Index) {
		for log, want := range map[string]int{"security": 3, "inference": 24, "secur": 0, "governance": 0} {
			rows, _, err := x.Events(t.Context(), Query{Log: log, Limit: 1000})
			if err != nil || len(rows) != want {
				t.Errorf("%s: %d events (%v), want %d", log, len(rows), err, want)
			}
		}
	})
}
