package main

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/capture"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/serve"
)

// managedKeysFile, in the key directory, holds the gateway keys made by `steno key new`: hashes, never keys.
const managedKeysFile = "gateway-keys.json"

// managedKey is one entry of that file.
type managedKey struct {
	gatewayKeyJSON
	Created time.Time `json:"created"`
}

// gatewayKeyJSON is a gateway key's entry as JSON.
type gatewayKeyJSON struct {
	ID        string   `json:"id"`
	SHA256    string   `json:"sha256"`
	User      string   `json:"user,omitempty"`
	Role      string   `json:"role,omitempty"`
	Team      string   `json:"team,omitempty"`
	Tenant    string   `json:"tenant,omitempty"`
	Upstreams []string `json:"upstreams,omitempty"`
	Owner     string   `json:"owner,omitempty"`
	Models    []string `json:"models,omitempty"`
	Expires   string   `json:"expires,omitempty"` // RFC 3339
	Budget    string   `json:"budget,omitempty"`  // as capture.ParseBudget reads it
}

// checkKeyLimits says what is wrong with the limits of a key.
func checkKeyLimits(k gatewayKey) error {
	if _, err := keyExpiry(k.Expires); err != nil {
		return err
	}
	if _, err := capture.ParseBudget(k.Budget); err != nil {
		return fmt.Errorf("budget: %q: %w", k.Budget, err)
	}
	for _, pattern := range k.Models {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("models: %q is no pattern; write a model's name, or one with * as in gpt-4o*", pattern)
		}
	}
	return nil
}

// keyExpiry reads when a key ends.
func keyExpiry(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("expires: %q is no point in time; write RFC 3339 as 2027-01-31T00:00:00Z", s)
	}
	return t, nil
}

// untilWhen reads --expires: a time from now as 90d, 12h or 2w, a date, or RFC 3339.
func untilWhen(s string, now time.Time) (string, error) {
	if s == "" {
		return "", nil
	}
	if ago, err := serve.ParseTime(s, now); err == nil {
		if ago.Before(now) && !strings.ContainsAny(s, "-:") { // it reads how long ago
			ago = now.Add(now.Sub(ago))
		}
		if !ago.After(now) {
			return "", usageError{fmt.Errorf("--expires %s lies in the past", s)}
		}
		return ago.UTC().Truncate(time.Second).Format(time.RFC3339), nil
	}
	return "", usageError{fmt.Errorf("--expires %q: write how long the key holds as 12h, 90d or 2w, a date as 2027-01-31, or RFC 3339", s)}
}

func readManagedKeys(path string) ([]managedKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read the gateway keys: %w", err)
	}
	var keys []managedKey
	if err := json.Unmarshal(b, &keys); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return keys, nil
}

// changeManagedKeys edits the file as a whole, under a lock of its own, so that a server may be running.
func changeManagedKeys(dir string, edit func([]managedKey) ([]managedKey, error)) error {
	lockDir := filepath.Join(dir, "keys.lock")
	if err := os.MkdirAll(lockDir, 0o700); err != nil {
		return fmt.Errorf("couldn't make the key directory: %w", err)
	}
	unlock, err := disk.Lock(lockDir)
	if err != nil {
		return err
	}
	keys, err := readManagedKeys(filepath.Join(dir, managedKeysFile))
	if err == nil {
		keys, err = edit(keys)
	}
	if err == nil {
		var b []byte
		if b, err = json.MarshalIndent(keys, "", "  "); err == nil {
			err = disk.WriteFile(disk.OS(), filepath.Join(dir, managedKeysFile), append(b, '\n'))
		}
	}
	return errors.Join(err, unlock())
}

// keyWatch joins the configured keys and the managed ones, and notices changes of the file.
type keyWatch struct {
	path    string
	static  []gatewayKey
	logger  *slog.Logger
	changed func(keys []*capture.Key) // puts them in force
	record  func(added, removed []string)

	mu   sync.Mutex
	seen fs.FileInfo
	ids  []string
}

func (w *keyWatch) load() ([]*capture.Key, error) {
	managed, err := readManagedKeys(w.path)
	if err != nil {
		return nil, err
	}
	w.seen, _ = os.Stat(w.path) // absent is a state like any other
	w.ids = nil
	var out []*capture.Key
	add := func(k gatewayKey) error {
		h, err := capture.ParseKeyHash(k.SHA256)
		if err != nil {
			return fmt.Errorf("gateway key %q: %w", k.ID, err)
		}
		expires, err := keyExpiry(k.Expires)
		if err != nil {
			return fmt.Errorf("gateway key %q: %w", k.ID, err)
		}
		budget, err := capture.ParseBudget(k.Budget)
		if err != nil {
			return fmt.Errorf("gateway key %q: budget: %w", k.ID, err)
		}
		out = append(out, &capture.Key{
			ID: k.ID, SHA256: h, User: k.User, Role: k.Role, Team: k.Team, Tenant: k.Tenant, Upstreams: k.Upstreams, Models: k.Models, Expires: expires, Budget: budget,
		})
		return nil
	}
	for _, k := range w.static {
		if err := add(k); err != nil {
			return nil, err
		}
	}
	for _, k := range managed {
		if err := add(gatewayKey(k.gatewayKeyJSON)); err != nil {
			return nil, err
		}
		w.ids = append(w.ids, k.ID)
	}
	return out, nil
}

// look takes over a changed file. Every call asks for it before its key is looked up: one look at a file costs nothing beside
// a call, and a key that `steno key revoke` has said is revoked opens nothing more.
func (w *keyWatch) look() {
	now, _ := os.Stat(w.path) // absent is a state like any other
	added, removed := w.take(now)
	w.record(added, removed) // not under the lock: the log may hang, and calls pass where the operator chose so
}

func (w *keyWatch) take(now fs.FileInfo) (added, removed []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sameFile(now, w.seen) {
		return nil, nil
	}
	before := w.ids
	keys, err := w.load()
	if err != nil {
		w.seen, w.ids = now, before
		w.logger.Error("the gateway keys changed and cannot be read; those in force stay so", "error", err)
		return nil, nil
	}
	w.changed(keys)
	return without(w.ids, before), without(before, w.ids)
}

// watch looks at the file each half second, so that a change is on record without a call.
func (w *keyWatch) watch() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
				w.look()
			}
		}
	}()
	return func() { close(quit); <-done }
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// newKey makes a gateway key.
func newKey() (key string, err error) {
	var r [25]byte
	if _, err := rand.Read(r[:]); err != nil {
		return "", err
	}
	return "sk-steno-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(r[:])), nil
}

func hashKey(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:])
}

func keyCommand() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Make, list and revoke gateway keys, and keep providers' keys"}
	var f serveFlags
	c.PersistentFlags().StringVar(&f.data, "data", "", "data directory (default ./steno-data)")
	c.PersistentFlags().StringVar(&f.file, "config", "", "configuration file (YAML)")
	load := func() (*config, error) { return loadConfig(f, os.Getenv) }
	keyDir := func() (string, error) {
		cfg, err := load()
		if err != nil {
			return "", err
		}
		return cfg.Key.Dir, nil
	}
	c.AddCommand(keyNewCommand(keyDir), keyListCommand(keyDir), keyRevokeCommand(keyDir), keyProviderCommand(load))
	return c
}

func keyNewCommand(keyDir func() (string, error)) *cobra.Command {
	var k managedKey
	var expires string
	var asJSON bool
	c := &cobra.Command{
		Use: "new", Short: "Make a gateway key; it is shown once and kept only as a hash", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := keyDir()
			if err != nil {
				return err
			}
			if k.Expires, err = untilWhen(expires, time.Now()); err != nil {
				return err
			}
			if err := checkKeyLimits(gatewayKey(k.gatewayKeyJSON)); err != nil {
				return usageError{fmt.Errorf("--%w", err)}
			}
			key, err := newKey()
			if err != nil {
				return err
			}
			k.SHA256, k.Created = hashKey(key), time.Now().UTC().Truncate(time.Second)
			err = changeManagedKeys(dir, func(keys []managedKey) ([]managedKey, error) {
				if k.ID == "" {
					k.ID = "key-" + k.SHA256[:8]
				}
				if slices.ContainsFunc(keys, func(o managedKey) bool { return o.ID == k.ID }) {
					return nil, usageError{fmt.Errorf("there is a key %q already; choose another --id, or revoke it first", k.ID)}
				}
				return append(keys, k), nil
			})
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(struct {
					Key string `json:"key"`
					managedKey
				}{key, k})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n\nThis is the only time that the key %q is shown. A running server takes it within a second.\nGive it to the SDK as its API key.\n", key, k.ID)
			return err
		},
	}
	c.Flags().StringVar(&k.ID, "id", "", "name of the key (default: made from its hash)")
	c.Flags().StringVar(&k.User, "user", "", "who uses it")
	c.Flags().StringVar(&k.Role, "role", "", "the user's role")
	c.Flags().StringVar(&k.Team, "team", "", "the user's team")
	c.Flags().StringVar(&k.Tenant, "tenant", "", "the tenant it belongs to")
	c.Flags().StringSliceVar(&k.Upstreams, "upstream", nil, "upstreams that it may use (default: all)")
	c.Flags().StringVar(&k.Owner, "owner", "", "who answers for it")
	c.Flags().StringSliceVar(&k.Models, "models", nil, "models that it may ask for: names, or patterns such as 'gpt-4o*' (default: all)")
	c.Flags().StringVar(&k.Budget, "budget", "", "what it may use: '50 USD/month', '200000 tokens/day' (default: as much as it likes)")
	c.Flags().StringVar(&expires, "expires", "", "how long it holds: 12h, 90d, 2w, a date, or RFC 3339 (default: until it is revoked)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func keyListCommand(keyDir func() (string, error)) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the gateway keys made by `steno key new`", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := keyDir()
			if err != nil {
				return err
			}
			keys, err := readManagedKeys(filepath.Join(dir, managedKeysFile))
			if err != nil {
				return err
			}
			use, err := readKeyUse(dir)
			if err != nil {
				return err
			}
			if asJSON {
				return printKeysJSON(c.OutOrStdout(), keys, use)
			}
			if use.At.IsZero() {
				fmt.Fprintln(c.ErrOrStderr(), "what they have used is not known: no steno has served with these keys yet")
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tUSER\tROLE\tTEAM\tTENANT\tUPSTREAMS\tMODELS\tOWNER\tEXPIRES\tUSED THIS MONTH\tBUDGET\tLEFT\tCREATED")
			for _, k := range keys {
				expires := cmp.Or(k.Expires, "never")
				if t, err := keyExpiry(k.Expires); err == nil && !t.IsZero() && !time.Now().Before(t) {
					expires += " (expired)"
				}
				used, left := use.of(k.gatewayKeyJSON)
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.User, k.Role, k.Team, k.Tenant, allOr(k.Upstreams), allOr(k.Models), k.Owner, expires,
					usedWords(&used.Total), cmp.Or(k.Budget, "none"), cmp.Or(left, "-"), k.Created.Format(time.RFC3339))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func allOr(names []string) string {
	if len(names) == 0 {
		return "all"
	}
	return strings.Join(names, ",")
}

func keyRevokeCommand(keyDir func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke a gateway key; a running server refuses it at once, and cuts off its answers under way", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := keyDir()
			if err != nil {
				return err
			}
			err = changeManagedKeys(dir, func(keys []managedKey) ([]managedKey, error) {
				left := slices.DeleteFunc(slices.Clone(keys), func(k managedKey) bool { return k.ID == args[0] })
				if len(left) == len(keys) {
					return nil, fmt.Errorf("there is no key %q made by `steno key new`; `steno key list` shows them, keys of the configuration file are removed there", args[0])
				}
				return left, nil
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is revoked\n", args[0])
			return err
		},
	}
}
