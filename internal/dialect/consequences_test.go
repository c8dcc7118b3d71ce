package dialect

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestConsequences: what an answer says has changed at the provider, and what it does not.
func TestConsequences(t *testing.T) {
	const job = `{"object":"fine_tuning.job","id":"ftjob-1","model":"gpt-4o-mini","training_file":"file-1","status":`
	for _, c := range []struct {
		dialect, method, path, request, answer string
		want                                   []string // type action target outcome details documents once
	}{
		{OpenAI, "POST", "/v1/files", "", `{"id":"file-1","object":"file","bytes":120,"filename":"a.jsonl","purpose":"batch"}`, []string{`lineage.file_uploaded file_uploaded file-1 ok {"bytes":120,"purpose":"batch"} [file-1 a.jsonl ]`}},
		{OpenAI, "GET", "/v1/files/file-1", "", `{"id":"file-1","object":"file"}`, nil},
		{OpenAI, "GET", "/v1/files", "", `{"object":"list","data":[{"id":"file-1","object":"file"}]}`, nil},
		{OpenAI, "DELETE", "/v1/files/file-1", "", `{"id":"file-1","object":"file","deleted":true}`, []string{`lineage.file_deleted file_deleted file-1 ok null`}},
		{OpenAI, "DELETE", "/v1/files/file-1", "", `{"id":"file-1","object":"file","deleted":false}`, nil},
		{OpenAI, "POST", "/v1/uploads/upload_1/complete", `{"part_ids":["p"]}`, `{"id":"upload_1","object":"upload","status":"completed","file":{"id":"file-2","object":"file","bytes":9}}`, []string{`lineage.file_uploaded file_uploaded file-2 ok {"bytes":9}`}},
		{OpenAI, "POST", "/v1/uploads", "", `{"id":"upload_1","object":"upload","status":"pending","file":null}`, nil},
		{Azure, "POST", "/openai/files?api-version=1", "", `{"id":"file-1","object":"file","bytes":1e3}`, []string{`lineage.file_uploaded file_uploaded file-1 ok {"bytes":1000}`}},
		{OpenAI, "POST", "/v1/vector_stores", `{"name":"law","file_ids":["file-1","file-2"]}`, `{"id":"vs_1","object":"vector_store","name":"law"}`, []string{`lineage.vector_store_changed vector_store_created vs_1 ok null [file-1  vs_1] [file-2  vs_1]`}},
		{OpenAI, "POST", "/v1/vector_stores/vs_1", `{"name":"laws"}`, `{"id":"vs_1","object":"vector_store"}`, []string{`lineage.vector_store_changed vector_store_changed vs_1 ok null`}},
		{OpenAI, "DELETE", "/v1/vector_stores/vs_1", "", `{"id":"vs_1","object":"vector_store.deleted","deleted":true}`, []string{`lineage.vector_store_changed vector_store_deleted vs_1 ok null`}},
		{OpenAI, "POST", "/v1/vector_stores/vs_1/files", `{"file_id":"file-1"}`, `{"id":"file-1","object":"vector_store.file","vector_store_id":"vs_1"}`, []string{`lineage.vector_store_changed vector_store_filled vs_1 ok null [file-1  vs_1]`}},
		{OpenAI, "POST", "/v1/vector_stores/vs_1/file_batches", `{"files":[{"file_id":"file-1"}]}`, `{"id":"vsfb_1","object":"vector_store.files_batch","vector_store_id":"vs_1","status":"in_progress"}`, []string{`lineage.vector_store_changed vector_store_filled vs_1 ok null [file-1  vs_1]`}},
		{OpenAI, "GET", "/v1/vector_stores/vs_1/file_batches/vsfb_1", "", `{"id":"vsfb_1","object":"vector_store.files_batch","vector_store_id":"vs_1"}`, nil},
		{OpenAI, "DELETE", "/v1/vector_stores/vs_1/files/file-1", "", `{"id":"file-1","object":"vector_store.file.deleted","deleted":true}`, []string{`lineage.vector_store_changed vector_store_file_removed vs_1 ok null [file-1  vs_1]`}},
		{OpenAI, "POST", "/v1/fine_tuning/jobs", "", job + `"validating_files","fine_tuned_model":null}`, []string{`lineage.training_started training_started ftjob-1  {"base":"gpt-4o-mini","dataset":"file-1"} once training_started/ftjob-1`}},
		{OpenAI, "GET", "/v1/fine_tuning/jobs/ftjob-1", "", job + `"running","fine_tuned_model":null}`, nil},
		{OpenAI, "GET", "/v1/fine_tuning/jobs/ftjob-1", "", job + `"succeeded","fine_tuned_model":"ft:a"}`, []string{
			`lineage.training_finished training_finished ftjob-1 ok {"model":"ft:a"} once training_finished/ftjob-1`,
			`governance.model_created model_created ft:a ok {"base":"gpt-4o-mini","dataset":"file-1","job":"ftjob-1"} once model_created/ftjob-1`,
		}},
		{OpenAI, "POST", "/v1/fine_tuning/jobs/ftjob-1/cancel", "", job + `"cancelled","fine_tuned_model":null}`, []string{`lineage.training_finished training_finished ftjob-1 cancelled {} once training_finished/ftjob-1`}},
		{Mistral, "POST", "/v1/fine_tuning/jobs", "", `{"object":"job","id":"j","model":"open-mistral-7b","status":"QUEUED","training_files":["f1"]}`, []string{`lineage.training_started training_started j  {"base":"open-mistral-7b","dataset":"f1"} once training_started/j`}},
		{OpenAI, "DELETE", "/v1/models/ft:a", "", `{"id":"ft:a","object":"model","deleted":true}`, []string{`governance.model_retired model_retired ft:a ok null`}},
		{OpenAI, "POST", "/v1/batches", "", `{"id":"batch_1","object":"batch","status":"validating","request_counts":{"total":0,"completed":0,"failed":0}}`, []string{`inference.batch_submitted batch_submitted batch_1  {} once batch_submitted/batch_1`}},
		{OpenAI, "GET", "/v1/batches/batch_1", "", `{"id":"batch_1","object":"batch","status":"in_progress"}`, nil},
		{OpenAI, "GET", "/v1/batches/batch_1", "", `{"id":"batch_1","object":"batch","status":"completed","request_counts":{"total":5,"completed":4,"failed":1}}`, []string{`inference.batch_finished batch_finished batch_1 ok {"calls":5,"failed":1} once batch_finished/batch_1`}},
		{OpenAI, "POST", "/v1/batches/batch_1/cancel", "", `{"id":"batch_1","object":"batch","status":"cancelling"}`, nil},
		{OpenAI, "POST", "/v1/assistants", "", `{"id":"asst_1","object":"assistant","model":"gpt-4o","name":"clerk"}`, []string{`governance.agent_changed agent_created asst_1 ok {"model":"gpt-4o","name":"clerk"}`}},
		{OpenAI, "POST", "/v1/assistants/asst_1", "", `{"id":"asst_1","object":"assistant","model":"gpt-4.1"}`, []string{`governance.agent_changed agent_changed asst_1 ok {"model":"gpt-4.1"}`}},
		{OpenAI, "DELETE", "/v1/assistants/asst_1", "", `{"id":"asst_1","object":"assistant.deleted","deleted":true}`, []string{`governance.agent_changed agent_deleted asst_1 ok {}`}},
		{Anthropic, "POST", "/v1/files", "", `{"id":"file_1","type":"file","filename":"a.pdf","size_bytes":9}`, []string{`lineage.file_uploaded file_uploaded file_1 ok {"bytes":9} [file_1 a.pdf ]`}},
		{Anthropic, "DELETE", "/v1/files/file_1", "", `{"id":"file_1","type":"file_deleted"}`, []string{`lineage.file_deleted file_deleted file_1 ok null`}},
		{Anthropic, "POST", "/v1/messages/batches", "", `{"id":"msgbatch_1","type":"message_batch","processing_status":"in_progress","request_counts":{"processing":2,"succeeded":0,"errored":0,"canceled":0,"expired":0}}`, []string{`inference.batch_submitted batch_submitted msgbatch_1  {"calls":2} once batch_submitted/msgbatch_1`}},
		{Anthropic, "POST", "/v1/messages/batches/msgbatch_1/cancel", "", `{"id":"msgbatch_1","type":"message_batch","processing_status":"canceling","request_counts":{"processing":2}}`, nil},
		{Anthropic, "GET", "/v1/messages/batches/msgbatch_1", "", `{"id":"msgbatch_1","type":"message_batch","processing_status":"ended","request_counts":{"processing":0,"succeeded":1,"errored":1,"canceled":0,"expired":0}}`, []string{`inference.batch_finished batch_finished msgbatch_1 ok {"calls":2,"failed":1} once batch_finished/msgbatch_1`}},
		{Anthropic, "DELETE", "/v1/messages/batches/msgbatch_1", "", `{"id":"msgbatch_1","type":"message_batch_deleted"}`, nil},
		{OpenAI, "POST", "/v1/chat/completions", "", `{"id":"file-1","object":"file"}`, nil},
		{OpenAI, "POST", "/v1/files", "", `["file"]`, nil},
	} {
		call := RouteAs(c.dialect, c.method, c.path)
		path, _, _ := strings.Cut(c.path, "?")
		var got []string
		for _, x := range call.Consequences(c.method, path, 200, []byte(c.request), []byte(c.answer)) {
			details, err := json.Marshal(x.Details)
			if err != nil {
				t.Fatal(err)
			}
			s := fmt.Sprintf("%s %s %s %s %s", x.Type, x.Action, x.Target, x.Outcome, details)
			for _, d := range x.Documents {
				s += fmt.Sprintf(" [%s %s %s]", d.ID, d.Title, d.Index)
			}
			if x.Once != "" {
				s += " once " + x.Once
			}
			got = append(got, s)
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
			t.Errorf("%s %s %s:\n%q, want\n%q", c.method, c.path, c.answer, got, c.want)
		}
		if failed := call.Consequences(c.method, path, 400, nil, []byte(c.answer)); failed != nil {
			t.Errorf("a call that failed has changed %v", failed)
		}
	}
}
