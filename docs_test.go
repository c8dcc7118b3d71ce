package steno_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

// docPages returns the text of README.md and of every page under docs.
func docPages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, name := range append(names, "README.md") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.ToSlash(name)] = string(b)
	}
	if len(pages) < 7 {
		t.Fatalf("only %d pages: is this the root of the repository?", len(pages))
	}
	return pages
}

var fence = regexp.MustCompile("(?ms)^```.*?^```")

// prose is a page without its blocks of code.
func prose(page string) string { return fence.ReplaceAllString(page, "") }

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

func codeSpans(page string) []string {
	var out []string
	for _, m := range codeSpan.FindAllStringSubmatch(prose(page), -1) {
		out = append(out, m[1])
	}
	return out
}

// symbols are the names that a package declares: "Func", "Type", "Type.Method", "Type.Field", unexported ones and those of
// its tests too. A package is called as its directory is; the root is steno and cmd/steno is main, as they call themselves.
type symbols map[string]map[string]bool

func declared(t *testing.T) symbols {
	t.Helper()
	all := symbols{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || name != "." && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := path.Base(filepath.ToSlash(filepath.Dir(name)))
		switch filepath.ToSlash(filepath.Dir(name)) {
		case ".":
			pkg = "steno"
		case "cmd/steno":
			pkg = "main"
		}
		if all[pkg] == nil {
			all[pkg] = map[string]bool{}
		}
		for _, decl := range file.Decls {
			declare(all[pkg], decl)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Tests of the root are in a package of their own.
	all["steno_test"] = all["steno"]
	return all
}

func declare(into map[string]bool, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			name = receiver(d.Recv.List[0].Type) + "." + name
		}
		into[name] = true
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					into[n.Name] = true
				}
			case *ast.TypeSpec:
				into[s.Name.Name] = true
				var members *ast.FieldList
				switch u := s.Type.(type) {
				case *ast.StructType:
					members = u.Fields
				case *ast.InterfaceType:
					members = u.Methods
				default:
					continue
				}
				for _, f := range members.List {
					for _, n := range f.Names {
						into[s.Name.Name+"."+n.Name] = true
					}
				}
			}
		}
	}
}

// receiver names the type of a method's receiver.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

var (
	symbolSpan = regexp.MustCompile(`^([a-z][a-z0-9_]*)\.([A-Za-z]\w*(?:\.[A-Za-z]\w*)?)$`)
	exported   = regexp.MustCompile(`^[A-Z]`)
	fileName   = regexp.MustCompile(`\.(go|md|json|jsonl|yaml|py|sh|js|mod|ids|templ)$`)
)

// TestDocSymbols looks up each Go name that the pages quote. In docs/internals.md that is anything of the form
// package.name; elsewhere names of members look the same, so that only exported ones count.
func TestDocSymbols(t *testing.T) {
	all := declared(t)
	seen := 0
	for name, page := range docPages(t) {
		for _, span := range codeSpans(page) {
			m := symbolSpan.FindStringSubmatch(span)
			if m == nil || fileName.MatchString(span) || all[m[1]] == nil {
				continue
			}
			if name != "docs/internals.md" && !exported.MatchString(m[2]) {
				continue
			}
			seen++
			if !all[m[1]][m[2]] {
				t.Errorf("%s speaks of `%s`: package %s has no %s", name, span, m[1], m[2])
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d names were looked up: the pages quote more, so the form that is looked for is wrong", seen)
	}
}

var repoPath = regexp.MustCompile(`^(?:cmd|docs|internal|test|testdata|tools)/[\w./-]+$`)

// TestDocPaths looks for each file and directory of the repository that the pages name.
func TestDocPaths(t *testing.T) {
	sources := map[string]bool{}
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("no git, so it is not known which files are the repository's: %v", err)
	}
	for f := range strings.Lines(string(out)) {
		sources[path.Base(strings.TrimSpace(f))] = true
	}
	seen := 0
	for name, page := range docPages(t) {
		for _, span := range codeSpans(page) {
			switch {
			case repoPath.MatchString(span):
				seen++
				if _, err := os.Stat(filepath.FromSlash(span)); err != nil {
					t.Errorf("%s speaks of `%s`: %v", name, span, err)
				}
			case strings.HasSuffix(span, ".go") && !strings.ContainsAny(span, " /*…<"):
				seen++
				if !sources[span] {
					t.Errorf("%s speaks of `%s`: there is no such file", name, span)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d paths were looked up", seen)
	}
}

var (
	link    = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	unslug  = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

// TestDocLinks follows each link that stays in the repository, to its heading too.
func TestDocLinks(t *testing.T) {
	seen := 0
	for name, page := range docPages(t) {
		for _, m := range link.FindAllStringSubmatch(prose(page), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			seen++
			if to = path.Join(path.Dir(name), to); strings.HasPrefix(m[1], "#") {
				to = name
			}
			b, err := os.ReadFile(filepath.FromSlash(to))
			if err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(slugs(string(b)), anchor) {
				t.Errorf("%s links to %s: %s has no such heading", name, m[1], to)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d links were followed", seen)
	}
}

// slugs are the anchors of a page's headings, as they are made where the pages are read.
func slugs(page string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(prose(page), -1) {
		out = append(out, strings.ReplaceAll(unslug.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), ""), " ", "-"))
	}
	return out
}

var lineNumber = regexp.MustCompile(`\b[\w/-]+\.(?:go|md|py|js|sh):\d+`)

// TestDocNoLineNumbers: a line's number is wrong at the next change; a symbol is not.
func TestDocNoLineNumbers(t *testing.T) {
	for name, page := range docPages(t) {
		for _, m := range lineNumber.FindAllString(page, -1) {
			t.Errorf("%s names a line, %s: name the symbol", name, m)
		}
	}
}

// modules returns what a go.mod requires and which tools it names.
func modules(t *testing.T, name string) (required, tools []string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	block := ""
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] == "//":
			continue
		case len(f) == 2 && f[1] == "(":
			block = f[0]
			continue
		case f[0] == ")":
			block = ""
			continue
		case block == "" && len(f) > 1:
			f, line = f[1:], f[0]
		default:
			line = block
		}
		switch line {
		case "require":
			required = append(required, f[0])
		case "tool":
			tools = append(tools, f[0])
		}
	}
	return required, tools
}

// imported returns the modules from which our packages, or their tests, import something themselves.
func imported(t *testing.T) map[string]bool {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags", "e2e wire bench", "-f",
		`{{range .Imports}}{{.}}{{"\n"}}{{end}}{{range .TestImports}}{{.}}{{"\n"}}{{end}}{{range .XTestImports}}{{.}}{{"\n"}}{{end}}`, "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	required, _ := modules(t, "go.mod")
	if len(required) < 10 {
		t.Fatalf("go.mod requires %d modules only: it was not understood", len(required))
	}
	used := map[string]bool{}
	for imp := range strings.Lines(string(out)) {
		imp = strings.TrimSpace(imp)
		best := ""
		for _, m := range required {
			if (imp == m || strings.HasPrefix(imp, m+"/")) && len(m) > len(best) {
				best = m
			}
		}
		if best != "" {
			used[best] = true
		}
	}
	return used
}

var dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// TestDocDependencies holds docs/dependencies.md against what is imported, both ways.
func TestDocDependencies(t *testing.T) {
	b, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n## In go.mod\n")
	if !ok {
		t.Fatal(`docs/dependencies.md has no heading "In go.mod"`)
	}
	table, after, _ := strings.Cut(rest, "\n## ")
	listed := map[string]bool{}
	for _, m := range dependencyRow.FindAllStringSubmatch(table, -1) {
		if listed[m[1]] {
			t.Errorf("%s stands in docs/dependencies.md twice", m[1])
		}
		listed[m[1]] = true
	}
	used := imported(t)
	for m := range used {
		if !listed[m] {
			t.Errorf("%s is imported and not in docs/dependencies.md: say what it is for, its licence, who keeps it", m)
		}
	}
	for m := range listed {
		if !used[m] {
			t.Errorf("docs/dependencies.md lists %s, which nothing imports", m)
		}
	}
	_, tools := modules(t, "tools/go.mod")
	if len(tools) == 0 {
		t.Error("tools/go.mod names no tool: it was not understood")
	}
	for _, tool := range tools {
		if !strings.Contains(after, "`"+tool+"`") {
			t.Errorf("the tool %s is not in docs/dependencies.md", tool)
		}
	}
}

// TestDocEventsAPI holds the two examples of docs/events-api.md to what they promise: the Go one is the example that
// compiles, and the event that curl sends is one that may be submitted.
func TestDocEventsAPI(t *testing.T) {
	b, err := os.ReadFile("docs/events-api.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	_, rest, _ := strings.Cut(page, "\n```go\n")
	shown, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("docs/events-api.md has no block of Go")
	}
	set := token.NewFileSet()
	source, err := os.ReadFile("client_test.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(set, "client_test.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	body := ""
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "ExampleClient_Submit" {
			body = string(source[set.Position(f.Body.Lbrace).Offset+2 : set.Position(f.Body.Rbrace).Offset])
		}
	}
	var compiled strings.Builder
	for line := range strings.Lines(body) {
		compiled.WriteString(strings.TrimPrefix(line, "\t"))
	}
	if shown != compiled.String() {
		t.Errorf("docs/events-api.md shows\n%s\nExampleClient_Submit is\n%s", shown, compiled.String())
	}
	_, rest, _ = strings.Cut(page, " -d '")
	sent, _, ok := strings.Cut(rest, "'\n")
	if !ok {
		t.Fatal("docs/events-api.md sends nothing with curl")
	}
	dec := json.NewDecoder(strings.NewReader(sent))
	dec.DisallowUnknownFields()
	var e steno.Event
	if err := dec.Decode(&e); err != nil {
		t.Fatalf("what curl sends: %v", err)
	}
	if err := steno.Validate(&e); err != nil || !steno.Submittable(e.Type) || e.Origin == nil || e.Origin.ID == "" {
		t.Errorf("what curl sends may not be submitted: %v", err)
	}
}

// TestDocDataMap: each member of the event model, each column of the index and each metric has its place in the data map.
func TestDocDataMap(t *testing.T) {
	b, err := os.ReadFile("docs/data-map.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, span := range codeSpans(string(b)) {
		said[span] = true
	}
	seen := 0
	for _, from := range []struct{ pattern, key string }{
		{"event.go", "json"}, {"internal/index/table.go", "parquet"}, {"internal/alert/alert.go", "json"},
	} {
		for name := range tags(t, from.pattern, from.key) {
			if from.key == "json" && (name == "next" || name == "offset") {
				continue // the cursor's, which the map tells in words
			}
			seen++
			if !said[name] {
				t.Errorf("docs/data-map.md doesn't say where %q of %s lies", name, from.pattern)
			}
		}
	}
	metric := regexp.MustCompile(`"(steno_[a-z_]+)"`)
	for _, dir := range []string{"internal/capture", "internal/index", "internal/alert", "internal/serve", "internal/journal"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, f := range files {
			source, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range metric.FindAllStringSubmatch(string(source), -1) {
				if m[1] == "steno_session" { // the cookie
					continue
				}
				seen++
				if !said[m[1]] {
					t.Errorf("docs/data-map.md doesn't speak of the metric %s", m[1])
				}
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d names were looked up", seen)
	}
}

// tags returns the names that the fields of a file's structs have under a key.
func tags(t *testing.T, name, key string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.Field); ok && f.Tag != nil {
			tag, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get(key), ",")
			if tag != "" && tag != "-" {
				out[tag] = true
			}
		}
		return true
	})
	return out
}
