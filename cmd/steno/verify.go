package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/steno-audit/steno"
)

// exitError ends the command with an exit code of its own. A nil err means that everything was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "exit " + strconv.Itoa(e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// openTexts opens the keys of a data directory and returns a check of one sealed record, and what closes it.
var openTexts func(dir string) (func(uint64, *steno.Leaf, []byte) error, func(), error)

func verifyCommand() *cobra.Command {
	var vkey, checkpoint, remember string
	var texts, asJSON bool
	c := &cobra.Command{
		Use:   "verify DIR|URL|FILE",
		Short: "Check that a log is whole and unchanged",
		Long: `Check a log: a data directory (also while a server runs there), the address of a served log, or one segment or
checkpoint file. It needs no key and changes nothing.

There are two verdicts. Integrity: nothing that was written has been changed, removed or added. Completeness: what the
sources had to say is all there. Against somebody who holds the log's signing key, integrity needs something from outside
the log: its key (--vkey), a checkpoint that you kept (--checkpoint), or what an earlier run remembered (--remember).

Exit codes: 0 both hold, 1 could not run, 2 wrong usage, 3 integrity fails, 4 completeness fails, 5 cannot be known.`,
		Example: `  steno verify /var/lib/steno
  steno verify --remember ~/.steno-known-logs https://steno.example/log/
  steno verify --vkey 'steno.example/log+1a2b3c4d+AZ…' --checkpoint 2026-06.checkpoint --json /mnt/copy`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o := steno.VerifyOptions{VKey: vkey, Remember: remember}
			if checkpoint != "" {
				b, err := os.ReadFile(checkpoint)
				if err != nil {
					return fmt.Errorf("couldn't read the checkpoint: %w", err)
				}
				o.Checkpoint = b
			}
			bar := newProgressBar(c.ErrOrStderr())
			if bar != nil {
				o.Progress = bar.draw
			}
			r, err := verifyTarget(c, args[0], texts, o)
			bar.clear()
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetEscapeHTML(false)
				err = enc.Encode(r)
			} else {
				err = printReport(c.OutOrStdout(), r)
			}
			if err != nil {
				return err
			}
			if code := r.Exit(); code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
	c.Flags().StringVar(&vkey, "vkey", "", "the log's verifier key, from outside the log")
	c.Flags().StringVar(&checkpoint, "checkpoint", "", "a checkpoint `FILE` that you kept: the log must still begin with it")
	c.Flags().StringVar(&remember, "remember", "", "a `FILE` that remembers key and newest checkpoint of each log, as known_hosts does")
	c.Flags().BoolVar(&texts, "texts", false, "open every sealed text with the keys beside the directory, too")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func verifyTarget(c *cobra.Command, target string, texts bool, o steno.VerifyOptions) (*steno.Report, error) {
	if strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://") {
		if texts {
			return nil, usageError{errors.New("--texts needs the keys beside a data directory; a URL has none")}
		}
		return steno.VerifyURL(c.Context(), target, nil, o)
	}
	st, err := os.Stat(target)
	if err != nil {
		return nil, fmt.Errorf("couldn't verify: %w", err)
	}
	if !st.IsDir() {
		if texts {
			return nil, usageError{errors.New("--texts needs a data directory; this is a file")}
		}
		return steno.VerifyFile(c.Context(), target, o)
	}
	dir, err := filepath.Abs(target)
	if err != nil {
		return nil, fmt.Errorf("couldn't verify: %w", err)
	}
	if texts {
		check, done, err := openTexts(dir)
		if err != nil {
			return nil, fmt.Errorf("couldn't open the keys for the texts: %w", err)
		}
		defer done()
		o.Texts = check
	}
	o.Live = lockHeld(filepath.Join(dir, "LOCK"))
	return steno.VerifyDir(c.Context(), dir, o)
}

// lockHeld says whether a process holds the directory's lock. It does not try to take it: that would write to the
// directory, and keep out a server that starts at this moment.
func lockHeld(path string) bool {
	st, err := os.Stat(path)
	if err != nil {
		return false
	}
	locks, err := os.ReadFile("/proc/locks")
	inode := reflect.Indirect(reflect.ValueOf(st.Sys()))
	if err == nil && inode.Kind() == reflect.Struct && inode.FieldByName("Ino").CanUint() {
		ino := ":" + strconv.FormatUint(inode.FieldByName("Ino").Uint(), 10)
		for line := range strings.Lines(string(locks)) {
			if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && strings.HasSuffix(f[5], ino) {
				return true
			}
		}
		return false
	}
	text, err := os.ReadFile(path) // elsewhere the pid in it has to do
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return false
	}
	p, err := os.FindProcess(pid)
	return err == nil && (p.Signal(syscall.Signal(0)) == nil || errors.Is(p.Signal(syscall.Signal(0)), os.ErrPermission))
}

// printReport writes for somebody who has to answer for the log, and has not read its format.
func printReport(out io.Writer, r *steno.Report) error {
	w := bufio.NewWriter(out)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-15s%s\n", name, fmt.Sprintf(format, args...))
	}
	kind := ""
	if r.Demo {
		kind = " (demo data)"
	}
	line("log", "%s%s", cmp.Or(plain(r.Origin), "of unknown name"), kind)
	line("read from", "%s", plain(r.Target))
	fmt.Fprintln(w)
	line("INTEGRITY", "%s", integrityWords(r))
	printFaults(w, r.Integrity)
	line("COMPLETENESS", "%s", completenessWords(r))
	printFaults(w, r.Completeness)
	fmt.Fprintln(w)
	line("checked", "%s", r.TrustWords)
	line("key", "%s", cmp.Or(plain(r.VKey), "unknown"))
	if !r.AsOf.IsZero() {
		line("as of", "%s, when the last of %s was written", stamp(r.AsOf), count(r.Size, "leaf", "leaves"))
	}
	line("signed", "%s", signedWords(r))
	if r.Root != "" {
		line("root", "%s", r.Root)
	}
	n := r.Counts
	line("looked at", "%s (%d public, %d sealed), %s of sealed bodies, %s, %s, %s, %s still open",
		count(n.Records, "record", "records"), n.Public, n.Sealed, bytesWords(n.BodyBytes), count(uint64(n.Segments), "segment", "segments"),
		count(n.Tiles, "tile", "tiles"), count(n.Sources, "source", "sources"), count(uint64(n.OpenExchanges), "exchange", "exchanges"))
	if n.Texts > 0 {
		line("texts", "%s opened and compared with their commitments", count(n.Texts, "record", "records"))
	}
	if n.Erased > 0 {
		line("erased", "%s, each under a key whose destruction is recorded", count(n.Erased, "body", "bodies"))
	}
	for i, s := range r.NotLookedAt {
		line(first(i, "not looked at"), "%s", plain(s))
	}
	for i, s := range r.Notes {
		line(first(i, "to know"), "%s", plain(s))
	}
	for i, s := range advice(r) {
		line(first(i, "what to do"), "%s", s)
	}
	return w.Flush()
}

func first(i int, name string) string {
	if i == 0 {
		return name
	}
	return ""
}

func printFaults(w io.Writer, o steno.Opinion) {
	for _, f := range o.Findings {
		what := plain(f.What)
		if at := f.Where.String(); at != "" {
			what = plain(at) + ": " + what
		}
		fmt.Fprintf(w, "  %s %s\n", map[steno.Verdict]string{steno.Fails: "✗", steno.Unknown: "?"}[f.Verdict], what)
	}
	if more := o.Count - len(o.Findings); more > 0 {
		fmt.Fprintf(w, "  … and %d more\n", more)
	}
}

func integrityWords(r *steno.Report) string {
	switch r.Integrity.Verdict {
	case steno.Holds:
		return "holds: every byte looked at is as it was written, and the tree over it is the one that was signed"
	case steno.Fails:
		return fmt.Sprintf("FAILS: something was changed, removed or added (%s)", count(uint64(r.Integrity.Count), "finding", "findings"))
	}
	return "cannot be known"
}

func completenessWords(r *steno.Report) string {
	switch r.Completeness.Verdict {
	case steno.Holds:
		return "holds: no source skipped a number or fell silent, no call is left open, no gap is recorded"
	case steno.Fails:
		return fmt.Sprintf("FAILS: something that should be in the log is not (%s)", count(uint64(r.Completeness.Count), "finding", "findings"))
	}
	return "cannot be known"
}

func signedWords(r *steno.Report) string {
	if r.Signed == nil {
		return "nothing that fits the log"
	}
	s := fmt.Sprintf("the first %s", count(r.Signed.Size, "leaf", "leaves"))
	if !r.Signed.Time.IsZero() {
		s += fmt.Sprintf(", the last of them written %s", stamp(r.Signed.Time))
	}
	if r.Unsigned > 0 {
		s += fmt.Sprintf("; %d after them wait for the next checkpoint", r.Unsigned)
	}
	return s
}

// advice says what the findings ask for.
func advice(r *steno.Report) []string {
	var out []string
	switch r.Integrity.Verdict {
	case steno.Fails:
		out = append(out,
			"Copy the directory and the one beside it that ends in .anchor as they are, before anything else writes to them.",
			"Compare with a backup or another copy: what no finding names is intact, what one names has to come from there.")
	case steno.Unknown:
		out = append(out, "Read the findings marked ? under INTEGRITY: each names what is missing for a verdict.")
	}
	switch r.Completeness.Verdict {
	case steno.Fails:
		out = append(out, "Ask whoever ran the source at that time: the findings under COMPLETENESS name it, and the records beside the hole.")
	case steno.Unknown:
		if r.Counts.Sources == 0 {
			break
		}
		out = append(out, "A source that was killed is followed by another at the next start, which says what became of it: start steno, and verify again.")
	}
	if r.Trust == steno.TrustSelf && r.Integrity.Verdict == steno.Holds {
		out = append(out, "To notice a forger, use --remember FILE from now on, or give the key (--vkey) or a checkpoint from elsewhere.")
	}
	return out
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatUint(n, 10) + " " + many
}

func bytesWords(n int64) string {
	const unit = 1024
	if n < unit {
		return count(uint64(n), "byte", "bytes")
	}
	v, name := float64(n), ""
	for _, name = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v /= unit; v < unit {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, name)
}

// progressBar is drawn on a terminal when the work takes longer than a second. A nil one draws nothing.
type progressBar struct {
	out          io.Writer
	begun, drawn time.Time
}

func newProgressBar(out io.Writer) *progressBar {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &progressBar{out: out, begun: time.Now()}
}

func (p *progressBar) draw(done, total int64) {
	now := time.Now()
	if now.Sub(p.begun) < time.Second || now.Sub(p.drawn) < 100*time.Millisecond {
		return
	}
	p.drawn = now
	if total <= 0 {
		fmt.Fprintf(p.out, "\r\x1b[K%s read", bytesWords(done))
		return
	}
	const width = 30
	full := int(width * done / total)
	rate := float64(done) / now.Sub(p.begun).Seconds()
	left := time.Duration(float64(total-done) / max(rate, 1) * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(p.out, "\r\x1b[K[%s%s] %s of %s, %s left", strings.Repeat("█", full), strings.Repeat("·", width-full),
		bytesWords(done), bytesWords(total), left)
}

func (p *progressBar) clear() {
	if p != nil && !p.drawn.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
