package dialect

import (
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
	Details   map[string]string // words; numbers as they stand
	Once      string            // what the same is known by when it is seen again; "" = each is its own
}

// Consequences reads what a call changed, from the answer to it. Only calls that manage something have any.
func (c Call) Consequences(method string, status int, body []byte) []Consequence {
	if c.Operation != "manage" || status >= 300 || len(body) == 0 || c.API == "file_content" {
		return nil
	}
	t := newTape()
	defer t.free()
	if t.parse(body) < 0 || t.shape(root) != object {
		return nil
	}
	s := func(name string) string { return t.str(t.get(root, name), maxName) }
	created := method == http.MethodPost
	deleted := t.shape(t.get(root, "deleted")) == yes
	id, kind := s("id"), strings.TrimSuffix(s("object"), ".deleted")
	switch {
	case id == "":
		return nil
	case kind == "file" && created:
		return []Consequence{{Type: "lineage.file_uploaded", Action: "file_uploaded", Target: id, Outcome: "ok", Details: details("purpose", s("purpose"), "bytes", t.digitsOf("bytes"))}}
	case kind == "file" && deleted:
		return []Consequence{{Type: "lineage.file_deleted", Action: "file_deleted", Target: id, Outcome: "ok"}}
	case kind == "vector_store" && (created || deleted):
		return []Consequence{storeChanged(id, map[bool]string{true: "vector_store_deleted", false: "vector_store_changed"}[deleted], "")}
	case kind == "vector_store.file" && created:
		return []Consequence{storeChanged(s("vector_store_id"), "vector_store_filled", id)}
	case kind == "vector_store.file" && deleted:
		return []Consequence{storeChanged(c.storeOf(s("vector_store_id")), "vector_store_file_removed", id)}
	case kind == "model" && deleted:
		return []Consequence{{Type: "governance.model_retired", Action: "model_retired", Target: id, Model: id, Outcome: "ok"}}
	case kind == "fine_tuning.job":
		return t.training(id, created)
	case kind == "batch":
		return t.batch(id, created)
	}
	return nil
}

// storeOf is the vector store, where the answer does not name it.
func (c Call) storeOf(id string) string {
	if id == "" {
		return "vector store"
	}
	return id
}

func storeChanged(id, action, file string) Consequence {
	c := Consequence{Type: "lineage.vector_store_changed", Action: action, Target: id, Outcome: "ok"}
	if file != "" {
		c.Documents = []steno.Document{{ID: file, Index: id, Origin: "asserted"}}
	}
	return c
}

func details(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out[pairs[i]] = pairs[i+1]
		}
	}
	return out
}

// digitsOf is a number of the root as it stands.
func (t *tape) digitsOf(name string) string {
	if v := t.get(root, name); t.shape(v) == number {
		return clip(t.inner(v), 32)
	}
	return ""
}

// ends are the states of a job that is over, and the outcome that they are.
var ends = map[string]string{"succeeded": "ok", "completed": "ok", "failed": "failed", "cancelled": "cancelled", "expired": "expired"}

// training reads a fine-tuning job: its beginning once, and its end when it is first seen.
func (t *tape) training(id string, created bool) []Consequence {
	s := func(name string) string { return t.str(t.get(root, name), maxName) }
	var out []Consequence
	state := s("status")
	if created && ends[state] == "" {
		out = append(out, Consequence{
			Type: "lineage.training_started", Action: "training_started", Target: id, Model: s("model"), Once: "training_started/" + id,
			Details: details("base", s("model"), "dataset", s("training_file")),
		})
	}
	if outcome := ends[state]; outcome != "" {
		out = append(out, Consequence{
			Type: "lineage.training_finished", Action: "training_finished", Target: id, Outcome: outcome, Model: s("fine_tuned_model"),
			Once: "training_finished/" + id, Details: details("model", s("fine_tuned_model")),
		})
	}
	return out
}

// batch reads a batch: its beginning once, and its end when it is first seen.
func (t *tape) batch(id string, created bool) []Consequence {
	state := t.str(t.get(root, "status"), 32)
	switch outcome := ends[state]; {
	case outcome != "":
		return []Consequence{{Type: "inference.batch_finished", Action: "batch_finished", Target: id, Outcome: outcome, Once: "batch_finished/" + id}}
	case created:
		return []Consequence{{Type: "inference.batch_submitted", Action: "batch_submitted", Target: id, Once: "batch_submitted/" + id}}
	}
	return nil
}
