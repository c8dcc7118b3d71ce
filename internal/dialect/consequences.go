package dialect

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/steno-audit/steno"
)

// A Consequence is what a call changed at the provider: a fact of lineage or governance that nobody has to report.
type Consequence struct {
	Type      string // of the event
	Action    string
	Target    string // the provider's id of what was changed
	Outcome   string
	Model     string
	Documents []steno.Document
	Details   map[string]json.RawMessage
	Once      string // what the same is known by when it is seen again; "" = each is its own
}

// Consequences reads what a call changed, from the answer to it and, for what the answer does not repeat, its path and
// its request, which may be left out. Only calls that manage something have any, and only if they went well.
func (c Call) Consequences(method, path string, status int, request, body []byte) []Consequence {
	if c.Operation != "manage" || status < 200 || status >= 300 || len(body) == 0 || c.API == "file_content" {
		return nil
	}
	t := newTape()
	defer t.free()
	if t.parse(body) < 0 || t.shape(root) != object {
		return nil
	}
	kind := t.kindOf(root)
	ch := change{
		tape: t, request: request, kind: strings.TrimSuffix(strings.TrimSuffix(kind, ".deleted"), "_deleted"), id: t.str(t.get(root, "id"), maxName),
		created: method == http.MethodPost,
		deleted: t.shape(t.get(root, "deleted")) == yes || method == http.MethodDelete && strings.HasSuffix(kind, "deleted"),
		at:      strings.Split(strings.Trim(unversioned(strings.TrimPrefix(path, "/openai")), "/"), "/"),
	}
	if ch.id == "" || !ch.created && !ch.deleted && method != http.MethodGet {
		return nil
	}
	return ch.read()
}

// kindOf is what OpenAI calls an object's object, and Anthropic its type.
func (t *tape) kindOf(n int) string {
	if s := t.str(t.get(n, "object"), 64); s != "" {
		return s
	}
	return t.str(t.get(n, "type"), 64)
}

// A change is an answer to a call that manages something, the root of the tape.
type change struct {
	*tape
	request          []byte
	kind, id         string
	created, deleted bool     // by a POST; by a DELETE
	at               []string // segments of the path
}

func (c *change) read() []Consequence {
	switch {
	case c.kind == "file" && c.created:
		return c.upload(root)
	case c.kind == "upload" && c.has(c.get(root, "file")):
		return c.upload(c.get(root, "file"))
	case c.kind == "file" && c.deleted:
		return []Consequence{{Type: "lineage.file_deleted", Action: "file_deleted", Target: c.id, Outcome: "ok"}}
	case strings.HasPrefix(c.kind, "vector_store") && (c.created || c.deleted):
		return c.store()
	case c.kind == "model" && c.deleted:
		return []Consequence{{Type: "governance.model_retired", Action: "model_retired", Target: c.id, Model: c.id, Outcome: "ok"}}
	case c.kind == "assistant" && (c.created || c.deleted):
		return c.agent()
	case c.kind == "fine_tuning.job" || c.kind == "job" && c.at[0] == "fine_tuning": // Mistral's
		return c.training()
	case c.kind == "batch":
		return c.batch(c.word("status"))
	case c.kind == "message_batch" && !c.deleted:
		return c.batch(c.word("processing_status"))
	}
	return nil
}

func (c *change) word(name string) string { return c.str(c.get(root, name), maxName) }

// details are members of the value n: a name in the event, and the member's in the answer.
func (c *change) details(n int, pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v := c.get(n, pairs[i+1])
		switch c.shape(v) {
		case text:
			if s := c.str(v, maxName); s != "" {
				out[pairs[i]], _ = json.Marshal(s) // texts always marshal
			}
		case number:
			if v, ok := c.whole(v); ok {
				out[pairs[i]], _ = json.Marshal(v)
			}
		}
	}
	return out
}

func (c *change) upload(n int) []Consequence {
	out := Consequence{
		Type: "lineage.file_uploaded", Action: "file_uploaded", Target: c.str(c.get(n, "id"), maxName), Outcome: "ok",
		Details: c.details(n, "purpose", "purpose", "bytes", "bytes", "bytes", "size_bytes"),
	}
	if name := c.str(c.get(n, "filename"), maxTitle); name != "" {
		out.Documents = []steno.Document{{ID: out.Target, Title: name, Origin: "asserted"}}
	}
	return []Consequence{out}
}

// store reads a change of a vector store or of its files.
func (c *change) store() []Consequence {
	out := Consequence{Type: "lineage.vector_store_changed", Target: c.id, Outcome: "ok"}
	switch {
	case c.kind == "vector_store":
		switch {
		case c.deleted:
			out.Action = "vector_store_deleted"
		case len(c.at) > 1:
			out.Action = "vector_store_changed"
		default:
			out.Action = "vector_store_created"
			out.Documents = c.asked(c.id)
		}
		return []Consequence{out}
	case len(c.at) < 2 || c.at[0] != "vector_stores":
		return nil
	}
	out.Target = clip([]byte(c.at[1]), maxName)
	file := steno.Document{ID: c.id, Index: out.Target, Origin: "asserted"}
	switch {
	case c.kind == "vector_store.file" && c.deleted:
		out.Action, out.Documents = "vector_store_file_removed", []steno.Document{file}
	case c.kind == "vector_store.file" && len(c.at) > 3:
		out.Action, out.Documents = "vector_store_file_changed", []steno.Document{file} // its attributes
	case c.kind == "vector_store.file":
		out.Action, out.Documents = "vector_store_filled", []steno.Document{file}
	case len(c.at) == 3: // many files at once
		out.Action, out.Documents = "vector_store_filled", c.asked(out.Target)
	default:
		return nil
	}
	return []Consequence{out}
}

// asked are the files that the request names for a vector store.
func (c *change) asked(index string) []steno.Document {
	t := newTape()
	defer t.free()
	if len(c.request) == 0 || t.parse(c.request) < 0 {
		return nil
	}
	var d documents
	for id := range t.elements(t.get(root, "file_ids")) {
		d.add(steno.Document{ID: t.str(id, maxName), Index: index, Origin: "asserted"})
	}
	for f := range t.elements(t.get(root, "files")) {
		d.add(steno.Document{ID: t.str(t.get(f, "file_id"), maxName), Index: index, Origin: "asserted"})
	}
	return d.list
}

// agent reads an assistant that was made, changed or deleted.
func (c *change) agent() []Consequence {
	out := Consequence{
		Type: "governance.agent_changed", Action: "agent_created", Target: c.id, Outcome: "ok", Model: c.word("model"),
		Details: c.details(root, "model", "model", "name", "name"),
	}
	switch {
	case c.deleted:
		out.Action = "agent_deleted"
	case len(c.at) > 1:
		out.Action = "agent_changed"
	}
	return []Consequence{out}
}

// ends are the states of a job that is over, and the outcome that they are.
var ends = map[string]string{
	"succeeded": "ok", "success": "ok", "completed": "ok", "ended": "ok", "failed": "failed", "cancelled": "cancelled", "expired": "expired",
}

// training reads a fine-tuning job: its beginning once, and its end when it is first seen, with the model that it made.
func (c *change) training() []Consequence {
	outcome := ends[strings.ToLower(c.word("status"))]
	details := c.details(root, "base", "model", "dataset", "training_file")
	if files := c.get(root, "training_files"); details["dataset"] == nil {
		for id := range c.elements(files) {
			details["dataset"], _ = json.Marshal(c.str(id, maxName)) // the last, where there are several
		}
	}
	if outcome == "" {
		if !c.created {
			return nil
		}
		return []Consequence{{
			Type: "lineage.training_started", Action: "training_started", Target: c.id, Model: c.word("model"), Details: details, Once: "training_started/" + c.id,
		}}
	}
	made := c.word("fine_tuned_model")
	out := []Consequence{{
		Type: "lineage.training_finished", Action: "training_finished", Target: c.id, Outcome: outcome, Model: made,
		Once: "training_finished/" + c.id, Details: c.details(root, "model", "fine_tuned_model"),
	}}
	if made != "" {
		details["job"], _ = json.Marshal(c.id)
		out = append(out, Consequence{
			Type: "governance.model_created", Action: "model_created", Target: made, Model: made, Outcome: "ok", Details: details, Once: "model_created/" + c.id,
		})
	}
	return out
}

// batch reads a batch: its beginning once, and its end when it is first seen.
func (c *change) batch(state string) []Consequence {
	counts := c.get(root, "request_counts")
	details := c.details(counts, "calls", "total", "failed", "failed", "failed", "errored")
	if details["calls"] == nil {
		sum := int64(0)
		for _, name := range [...]string{"processing", "succeeded", "errored", "canceled", "expired"} {
			if v, ok := c.whole(c.get(counts, name)); ok && v > 0 && v < 1<<32 {
				sum += v
			}
		}
		if sum > 0 {
			details["calls"], _ = json.Marshal(sum)
		}
	}
	switch outcome := ends[state]; {
	case outcome != "":
		return []Consequence{{
			Type: "inference.batch_finished", Action: "batch_finished", Target: c.id, Outcome: outcome, Model: c.word("model"), Details: details, Once: "batch_finished/" + c.id,
		}}
	case c.created && state != "cancelling" && state != "canceling":
		if string(details["calls"]) == "0" { // not counted yet
			delete(details, "calls")
		}
		delete(details, "failed")
		return []Consequence{{
			Type: "inference.batch_submitted", Action: "batch_submitted", Target: c.id, Model: c.word("model"), Details: details, Once: "batch_submitted/" + c.id,
		}}
	}
	return nil
}
