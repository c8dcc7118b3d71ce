package steno_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers says which of our packages each one may import, and why no others. Data flows one way: capture, seal, journal,
// followers, serve.
var layers = map[string][]string{
	"":                 {},                                                                                                                                                        // an auditor links only this
	"internal/disk":    {},                                                                                                                                                        // the only place that syncs
	"internal/price":   {},                                                                                                                                                        // a table
	"internal/check":   {},                                                                                                                                                        // text in, spans out
	"internal/policy":  {},                                                                                                                                                        // questions in, decisions out
	"internal/hunt":    {},                                                                                                                                                        // looks at files, must share nothing with what wrote them
	"internal/dialect": {""},                                                                                                                                                      // pure functions over bytes
	"internal/seal":    {"", "internal/disk"},                                                                                                                                     // holds keys; knows nothing of HTTP or of the log
	"internal/journal": {"", "internal/disk"},                                                                                                                                     // opaque bodies; verifiable without a key
	"internal/foreign": {""},                                                                                                                                                      // pure functions over bytes
	"internal/capture": {"", "internal/disk", "internal/seal", "internal/journal", "internal/dialect", "internal/foreign", "internal/check", "internal/price", "internal/policy"}, // the one way in
	"internal/index":   {"", "internal/disk", "internal/seal", "internal/journal"},                                                                                                // a follower
	"internal/alert":   {"", "internal/disk", "internal/seal", "internal/journal"},                                                                                                // a follower
	"internal/monitor": {"", "internal/disk", "internal/seal", "internal/journal", "internal/index", "internal/dialect"},                                                          // a follower; what it finds goes to the log by the one way in
	"internal/serve":   {"", "internal/disk", "internal/seal", "internal/journal", "internal/index", "internal/dialect"},                                                          // the one way out
	"internal/console": {"", "internal/serve", "internal/dialect"},                                                                                                                // pages over the reader
	"internal/stub":    {},                                                                                                                                                        // a provider knows nothing of us
	"internal/demo":    {},                                                                                                                                                        // a client knows nothing of us
}

const module = "github.com/steno-audit/steno"

func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Doc", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for dec.More() {
		var p struct {
			ImportPath, Doc string
			Imports         []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if name == "cmd/steno" || strings.HasPrefix(name, "test/") {
			continue // wiring and tests may import all
		}
		allowed, ok := layers[name]
		if !ok {
			t.Errorf("package %s is not in the table: say what it may import, and why", p.ImportPath)
			continue
		}
		seen++
		if p.Doc == "" {
			t.Errorf("package %s has no package doc: say what promise it keeps and what it may not do", p.ImportPath)
		}
		for _, imp := range p.Imports {
			if rest, ours := strings.CutPrefix(imp, module); ours && !slices.Contains(allowed, strings.TrimPrefix(rest, "/")) {
				t.Errorf("%s may not import %s", p.ImportPath, imp)
			}
		}
	}
	if seen < len(layers)-2 {
		t.Errorf("only %d packages of the table exist", seen)
	}
}

// TestNoCgo keeps what gateways, clients and verifiers link free of cgo.
func TestNoCgo(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if .CgoFiles}}{{if not .Standard}}{{.ImportPath}}{{end}}{{end}}", "./cmd/steno")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.TrimSpace(string(out)); s != "" {
		t.Errorf("these need cgo: %s", s)
	}
}
