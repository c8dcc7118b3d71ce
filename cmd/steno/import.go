package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/foreign"
)

const (
	defaultGateway = "http://127.0.0.1:4600"
	importEvents   = 500     // of one request
	importBytes    = 3 << 20 // of one request, about
	maxShownBad    = 1000    // in the summary; all are on stderr
)

func importCommand() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import FILE|DIR|-…",
		Short: "Take over logs that were kept elsewhere",
		Long: `Read logs that were kept elsewhere and record them through a running steno, each event marked as imported, with its source
and whether that is independent (the provider's own log) or self-reported.

Formats: ` + strings.Join(foreign.Formats, ", ") + `. The format is found out for each record, or given.
Files may be compressed with gzip; of a directory all files are read; - is the standard input. What cannot be read is named with
file and line, and the rest is taken. The same can be run again: what is recorded is not recorded twice.

Exit codes: 0 all was taken, 1 something was not, or it could not run, 2 wrong usage.`,
		Example: `  steno import audit.log
  steno import --format bedrock AWSLogs/
  steno import batch_input.jsonl batch_output.jsonl
  zcat spend.csv.gz | steno import --dry-run -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	c.Flags().StringVar(&f.server, "server", "", "the gateway's URL of a running steno (default $STENO_GATEWAY, else "+defaultGateway+")")
	c.Flags().StringVar(&f.key, "key", "", "a gateway key (default $STENO_KEY)")
	c.Flags().StringVar(&f.format, "format", "", "the `FORMAT` of all files, instead of what they look like")
	c.Flags().StringVar(&f.source, "source", "", "the source's `NAME`, instead of the format's")
	c.Flags().StringVar(&f.state, "state", "", "a `FILE` that remembers what was imported (default: one for each server below the user's state directory)")
	c.Flags().BoolVar(&f.again, "again", false, "send also what the state says was imported; the server knows ids of the last seven days")
	c.Flags().BoolVar(&f.dry, "dry-run", false, "read and say what would be imported, and send nothing")
	c.Flags().BoolVar(&f.json, "json", false, "print the summary as one JSON object")
	return c
}

type importFlags struct {
	server, key, format, source, state string
	again, dry, json                   bool
}

// importRun is one import under way.
type importRun struct {
	client *steno.Client // nil: nothing is sent
	done   *importState
	again  bool
	stderr io.Writer
	bar    *progressBar
	read   int64 // bytes
	total  int64

	batch []steno.Submission
	from  []foreign.Record
	size  int
	sum   importSummary
	fatal error
}

// importSummary is what --json prints.
type importSummary struct {
	Files      int            `json:"files"`
	Records    int            `json:"records"`
	Imported   int            `json:"imported"`
	Duplicates int            `json:"duplicates"` // the server had them
	Earlier    int            `json:"earlier"`    // an earlier run had imported them
	Left       map[string]int `json:"left"`       // no events of their own, by reason
	Formats    map[string]int `json:"formats"`
	BadCount   int            `json:"bad"`
	Bad        []badRecord    `json:"bad_records"`
	DryRun     bool           `json:"dry_run,omitempty"`
}

type badRecord struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

func (f *importFlags) run(c *cobra.Command, args []string) error {
	reader, err := foreign.NewReader(f.format, f.source)
	if err != nil {
		return usageError{err}
	}
	files, total, err := importFiles(args)
	if err != nil {
		return err
	}
	r := &importRun{again: f.again, stderr: c.ErrOrStderr(), total: total, bar: newProgressBar(c.ErrOrStderr())}
	r.sum = importSummary{Left: map[string]int{}, Formats: map[string]int{}, Bad: []badRecord{}, DryRun: f.dry}
	if !f.dry {
		server := orElse(f.server, orElse(os.Getenv("STENO_GATEWAY"), defaultGateway))
		if !strings.Contains(server, "://") {
			server = "http://" + server
		}
		r.client = &steno.Client{URL: server, Key: orElse(f.key, os.Getenv("STENO_KEY"))}
		if r.done, err = openImportState(f.state, server); err != nil {
			return err
		}
		defer r.done.f.Close() // each write was looked at
	}
	for _, name := range files {
		if err := r.file(c.Context(), reader, name, c.InOrStdin()); err != nil {
			r.bar.clear()
			return err
		}
	}
	reader.Rest(func(rec foreign.Record) bool { return r.take(c.Context(), rec) })
	r.send(c.Context())
	r.bar.clear()
	if r.fatal != nil {
		return r.fatal
	}
	if err := r.sum.print(c.OutOrStdout(), f.json); err != nil {
		return err
	}
	if r.sum.BadCount > 0 {
		return &exitError{code: 1}
	}
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// importFiles lists what is to be read, directories with all that lies in them, in the order of names.
func importFiles(args []string) (files []string, total int64, err error) {
	for _, arg := range args {
		if arg == "-" {
			files = append(files, arg)
			continue
		}
		err := filepath.WalkDir(arg, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := os.Stat(name)
			if err != nil || !info.Mode().IsRegular() {
				return err
			}
			files = append(files, name)
			total += info.Size()
			return nil
		})
		if err != nil {
			return nil, 0, fmt.Errorf("couldn't import: %w", err)
		}
	}
	return files, total, nil
}

func (r *importRun) file(ctx context.Context, reader *foreign.Reader, name string, stdin io.Reader) error {
	in, modified := stdin, time.Time{}
	if name == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("couldn't import: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("couldn't import: %w", err)
		}
		in, modified = f, info.ModTime()
	}
	r.sum.Files++
	err := reader.Read(name, modified, countedReader{in, r}, func(rec foreign.Record) bool { return r.take(ctx, rec) })
	if r.fatal != nil {
		return r.fatal
	}
	if err != nil {
		r.bad(badRecord{File: name, Reason: strings.TrimPrefix(err.Error(), name+": ")})
	}
	return nil
}

// countedReader draws the progress.
type countedReader struct {
	io.Reader
	run *importRun
}

func (c countedReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.run.read += int64(n)
	if c.run.bar != nil {
		c.run.bar.draw(min(c.run.read, max(c.run.total, 1)), c.run.total)
	}
	return n, err
}

// take puts a record into the next request; it says whether to go on.
func (r *importRun) take(ctx context.Context, rec foreign.Record) bool {
	r.sum.Records++
	switch {
	case rec.Err != nil:
		r.bad(badRecord{File: rec.File, Line: rec.Line, Reason: rec.Err.Error()})
		return true
	case rec.Submission == nil:
		r.sum.Left[rec.Left]++
		return true
	}
	r.sum.Formats[rec.Format]++
	if r.client == nil {
		r.sum.Imported++
		return true
	}
	if !r.again && r.done.has(rec.Submission) {
		r.sum.Earlier++
		return true
	}
	r.batch, r.from = append(r.batch, *rec.Submission), append(r.from, rec)
	r.size += roughSize(rec.Submission)
	if len(r.batch) >= importEvents || r.size >= importBytes {
		r.send(ctx)
	}
	return r.fatal == nil
}

// roughSize is about how many bytes an event has.
func roughSize(s *steno.Submission) int {
	n := 1024
	for _, m := range []*steno.Message{s.Request, s.Response} {
		if m != nil {
			n += len(m.Body)
		}
	}
	if s.Prompt != nil {
		n += len(s.Prompt.Input)
	}
	if s.Result != nil {
		n += len(s.Result.Output)
	}
	return n
}

// send submits what was gathered.
func (r *importRun) send(ctx context.Context) {
	if len(r.batch) == 0 || r.fatal != nil {
		return
	}
	result, err := r.client.SubmitCalls(ctx, r.batch...)
	if err != nil {
		r.fatal = fmt.Errorf("couldn't import: %w; what was recorded so far is not recorded again by another run", err)
		return
	}
	r.sum.Imported += len(result.Accepted)
	r.sum.Duplicates += len(result.Duplicate)
	refused := map[int]bool{}
	for _, x := range result.Rejected {
		refused[x.Index] = true
		r.bad(badRecord{r.from[x.Index].File, r.from[x.Index].Line, x.ID, x.Reason})
	}
	for i := range r.batch {
		if !refused[i] {
			r.done.add(&r.batch[i])
		}
	}
	if err := r.done.flush(); err != nil {
		r.fatal = err
	}
	r.batch, r.from, r.size = r.batch[:0], r.from[:0], 0
}

func (r *importRun) bad(b badRecord) {
	r.sum.BadCount++
	if len(r.sum.Bad) < maxShownBad {
		r.sum.Bad = append(r.sum.Bad, b)
	}
	r.bar.clear()
	where := plain(b.File)
	if b.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, b.Line)
	}
	fmt.Fprintf(r.stderr, "%s: %s\n", where, plain(b.Reason))
}

func (s *importSummary) print(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(s)
	}
	verb := "imported"
	if s.DryRun {
		verb = "would be imported"
	}
	line := fmt.Sprintf("%s of %s: %d %s", count(uint64(s.Records), "record", "records"), count(uint64(s.Files), "file", "files"), s.Imported, verb)
	var formats []string
	for _, name := range slices.Sorted(maps.Keys(s.Formats)) {
		formats = append(formats, fmt.Sprintf("%s %d", name, s.Formats[name]))
	}
	if s.Duplicates > 0 {
		line += fmt.Sprintf(", %d known to the server", s.Duplicates)
	}
	if s.Earlier > 0 {
		line += fmt.Sprintf(", %d imported by an earlier run (--again sends them all the same)", s.Earlier)
	}
	if s.BadCount > 0 {
		line += fmt.Sprintf(", %d could not be", s.BadCount)
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return err
	}
	if len(formats) > 0 {
		if _, err := fmt.Fprintln(w, "  by format: "+strings.Join(formats, ", ")); err != nil {
			return err
		}
	}
	for _, why := range slices.Sorted(maps.Keys(s.Left)) {
		if _, err := fmt.Fprintf(w, "  left out %d: %s\n", s.Left[why], plain(why)); err != nil {
			return err
		}
	}
	return nil
}

// importState remembers what a server has: 16 bytes of a hash of each event. It grows only; an entry that
// a crash tore is sent again, which the server notices.
type importState struct {
	f     *os.File
	known map[[16]byte]bool
	fresh []byte
}

func openImportState(path, server string) (*importState, error) {
	if path == "" {
		dir := os.Getenv("XDG_STATE_HOME")
		if dir == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("couldn't find a place to remember what was imported: %w; give one with --state FILE", err)
			}
			dir = filepath.Join(home, ".local", "state")
		}
		sum := sha256.Sum256([]byte(strings.TrimSuffix(server, "/")))
		path = filepath.Join(dir, "steno", "imported-"+hex.EncodeToString(sum[:4]))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("couldn't remember what was imported: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("couldn't remember what was imported: %w", err)
	}
	b, err := io.ReadAll(f)
	if err == nil && len(b)%16 != 0 {
		b = b[:len(b)-len(b)%16]
		_, err = f.Seek(int64(len(b)), io.SeekStart)
		err = errors.Join(err, f.Truncate(int64(len(b))))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't read what was imported: %w", err), f.Close())
	}
	s := &importState{f: f, known: make(map[[16]byte]bool, len(b)/16)}
	for ; len(b) > 0; b = b[16:] {
		s.known[[16]byte(b)] = true
	}
	return s, nil
}

func importKey(s *steno.Submission) [16]byte {
	b, err := json.Marshal(s)
	if err != nil {
		b = []byte(s.Origin.Source + "\x00" + s.Origin.ID) // it will fail again when it is sent, and is named then
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

func (s *importState) has(e *steno.Submission) bool { return s.known[importKey(e)] }

func (s *importState) add(e *steno.Submission) {
	k := importKey(e)
	if !s.known[k] {
		s.known[k] = true
		s.fresh = append(s.fresh, k[:]...)
	}
}

func (s *importState) flush() error {
	if len(s.fresh) == 0 {
		return nil
	}
	_, err := s.f.Write(s.fresh)
	s.fresh = s.fresh[:0]
	if err != nil {
		return fmt.Errorf("couldn't remember what was imported: %w", err)
	}
	return nil
}
