package capture

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/seal"
)

// changes are the events that steno read on the wire, of the first n records.
func (r *rig) changes() []*seal.Opened {
	r.t.Helper()
	var out []*seal.Opened
	for i := range r.log.Size() {
		e, err := r.log.Read(i)
		if err != nil {
			r.t.Fatal(err)
		}
		if e.Leaf.Flags&(steno.FlagPublicOnly|steno.FlagOpens|steno.FlagCloses) != 0 || e.Leaf.DayKey == 0 {
			continue
		}
		o, err := r.keys.Open(e.Leaf, e.Body, nil, steno.SectionIdentity|steno.SectionMetadata|steno.SectionContext)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

func TestWhatACallChangesIsRecorded(t *testing.T) {
	answers := map[string]string{
		"POST /v1/files":                             `{"id":"file-1","object":"file","bytes":120,"filename":"train.jsonl","purpose":"fine-tune"}`,
		"GET /v1/files/file-1":                       `{"id":"file-1","object":"file","bytes":120}`,
		"DELETE /v1/files/file-1":                    `{"id":"file-1","object":"file","deleted":true}`,
		"POST /v1/vector_stores":                     `{"id":"vs_1","object":"vector_store"}`,
		"POST /v1/vector_stores/vs_1/files":          `{"id":"file-1","object":"vector_store.file","vector_store_id":"vs_1"}`,
		"POST /v1/fine_tuning/jobs":                  `{"id":"ftjob-1","object":"fine_tuning.job","status":"queued","model":"gpt-4o-mini","training_file":"file-1","fine_tuned_model":null}`,
		"GET /v1/fine_tuning/jobs/ftjob-1":           `{"id":"ftjob-1","object":"fine_tuning.job","status":"succeeded","model":"gpt-4o-mini","training_file":"file-1","fine_tuned_model":"ft:gpt-4o-mini:acme::1"}`,
		"POST /v1/batches":                           `{"id":"batch_1","object":"batch","status":"validating"}`,
		"DELETE /v1/models/ft:x":                     `{"id":"ft:x","object":"model","deleted":true}`,
		"DELETE /v1/vector_stores/vs_1/files/file-1": `{"id":"file-1","object":"vector_store.file.deleted","deleted":true}`,
		"POST /v1/assistants":                        `{"id":"asst_1","object":"assistant","model":"gpt-4o-mini","name":"a\"b\u0007\ud800"}`,
		"POST /v1/messages/batches":                  `{"id":"msgbatch_1","type":"message_batch","processing_status":"in_progress","request_counts":{"processing":2}}`,
		"GET /v1/messages/batches/msgbatch_1":        `{"id":"msgbatch_1","type":"message_batch","processing_status":"ended","request_counts":{"succeeded":1,"errored":1}}`,
		"POST /v1/chat/completions":                  `{"id":"c","object":"chat.completion","model":"m","choices":[]}`,
	}
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if req.Header.Get("X-Fail") != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, answers[req.Method+" "+req.URL.Path])
	}), nil)
	var last string
	call := func(method, path string, headers ...string) {
		t.Helper()
		req := r.post(path, "{}", headers...)
		req.Method = method
		resp, _, err := r.do(req)
		if err != nil {
			t.Fatal(err)
		}
		last = resp.Header.Get("X-Steno-Exchange")
		r.exchange(last)
	}
	call("POST", "/v1/files")
	upload := last
	call("POST", "/v1/files", "X-Fail", "1")
	call("GET", "/v1/files/file-1")
	call("POST", "/v1/vector_stores")
	call("POST", "/v1/vector_stores/vs_1/files")
	call("POST", "/v1/fine_tuning/jobs")
	for range 3 { // asked for until it has ended
		call("GET", "/v1/fine_tuning/jobs/ftjob-1")
	}
	call("POST", "/v1/batches")
	call("POST", "/v1/chat/completions")
	call("DELETE", "/v1/models/ft:x")
	call("DELETE", "/v1/files/file-1")
	call("DELETE", "/v1/vector_stores/vs_1/files/file-1")
	call("POST", "/v1/assistants")
	call("POST", "/v1/messages/batches")
	for range 2 {
		call("GET", "/v1/messages/batches/msgbatch_1", "anthropic-version", "2023-06-01")
	}
	var got []string
	for _, o := range r.changes() {
		if err := steno.Validate(&o.Event); err != nil {
			t.Errorf("%s: %v", o.Type, err)
		}
		got = append(got, fmt.Sprintf("%s %s %s", o.Type, o.System.Target, o.System.Details["model"]))
	}
	want := []string{
		"lineage.file_uploaded file-1 ", "lineage.vector_store_changed vs_1 ", "lineage.vector_store_changed vs_1 ", "lineage.training_started ftjob-1 ",
		`lineage.training_finished ftjob-1 "ft:gpt-4o-mini:acme::1"`, "governance.model_created ft:gpt-4o-mini:acme::1 ", "inference.batch_submitted batch_1 ", "governance.model_retired ft:x ", "lineage.file_deleted file-1 ",
		"lineage.vector_store_changed vs_1 ", `governance.agent_changed asst_1 "gpt-4o-mini"`, "inference.batch_submitted msgbatch_1 ", "inference.batch_finished msgbatch_1 ",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("on record\n%q\nwant\n%q", got, want)
	}
	first := r.changes()[0]
	if first.Exchange.String() != upload || first.System.Actor != "app" || string(first.System.Details["bytes"]) != "120" {
		t.Errorf("the upload: exchange %s, actor %q, %s", first.Exchange, first.System.Actor, first.System.Details)
	}
	if docs := r.changes()[2].Data.Documents; len(docs) != 1 || docs[0].ID != "file-1" || docs[0].Index != "vs_1" {
		t.Errorf("what the store was filled with: %+v", docs)
	}
	all := r.changes()
	if last := all[len(all)-1].System; string(last.Details["calls"]) != "2" || string(last.Details["failed"]) != "1" || last.Outcome != "ok" {
		t.Errorf("the batch's end: %s %s", last.Outcome, last.Details)
	}
}
