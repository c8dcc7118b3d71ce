package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/seal"
)

// providerKeysFile, in the key directory and never in the data directory, holds providers' keys, each encrypted under the ring.
const providerKeysFile = "provider-keys.json"

// providerKey is one entry of that file.
type providerKey struct {
	Wrapped []byte    `json:"wrapped"`
	Set     time.Time `json:"set"`
}

func readProviderKeys(dir string) (map[string]providerKey, error) {
	name := filepath.Join(dir, providerKeysFile)
	keys := map[string]providerKey{}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return keys, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read the providers' keys: %w", err)
	}
	if err := json.Unmarshal(b, &keys); err != nil {
		return nil, fmt.Errorf("%s is damaged; set the keys again: %w", name, err)
	}
	return keys, nil
}

// changeProviderKeys edits the file as a whole, under the lock of the gateway keys.
func changeProviderKeys(dir string, edit func(map[string]providerKey) error) error {
	lockDir := filepath.Join(dir, "keys.lock")
	if err := os.MkdirAll(lockDir, 0o700); err != nil {
		return fmt.Errorf("couldn't make the key directory: %w", err)
	}
	unlock, err := disk.Lock(lockDir)
	if err != nil {
		return err
	}
	keys, err := readProviderKeys(dir)
	if err == nil {
		err = edit(keys)
	}
	if err == nil {
		var b []byte
		if b, err = json.MarshalIndent(keys, "", "  "); err == nil {
			err = disk.WriteFile(disk.OS(), filepath.Join(dir, providerKeysFile), append(b, '\n'))
		}
	}
	return errors.Join(err, unlock())
}

// openRing opens the key ring to read it, which a running server does not mind.
func (c *config) openRing() (*seal.Keys, error) {
	id, err := readIdentity(c.Data)
	if err != nil {
		return nil, err
	}
	return seal.Open(disk.OS(), c.Key.Dir, id.Origin)
}

// providerKey is the key that `steno key provider set` has kept under a name.
func (c *config) providerKey(name string) (string, error) {
	keys, err := readProviderKeys(c.Key.Dir)
	if err != nil {
		return "", err
	}
	k, ok := keys[name]
	if !ok {
		return "", fmt.Errorf("the keyring has no provider key %q; give it with `steno key provider set %s`", name, name)
	}
	ring, err := c.openRing()
	if err != nil {
		return "", err
	}
	secret, err := ring.UnwrapSecret(name, k.Wrapped)
	if err != nil {
		return "", fmt.Errorf("provider key %q: %w", name, err)
	}
	return string(secret), nil
}

func keyProviderCommand(load func() (*config, error)) *cobra.Command {
	c := &cobra.Command{Use: "provider", Short: "Keep providers' keys in steno's keyring, so that no application holds them"}
	c.AddCommand(providerSetCommand(load), providerListCommand(load), providerRemoveCommand(load))
	return c
}

func providerSetCommand(load func() (*config, error)) *cobra.Command {
	var env string
	c := &cobra.Command{
		Use: "set NAME", Short: "Keep a provider's key, read from the standard input or a variable, for credential: {keyring: NAME}", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			name := args[0]
			if !upstreamName.MatchString(name) {
				return usageError{fmt.Errorf("%q is no name: it has lower-case letters, digits, - and _", name)}
			}
			secret, err := readSecret(c.InOrStdin(), env)
			if err != nil {
				return err
			}
			defer clear(secret)
			if err := cfg.makeRing(c); err != nil {
				return err
			}
			ring, err := cfg.openRing()
			if err != nil {
				return err
			}
			wrapped, err := ring.WrapSecret(name, secret)
			if err != nil {
				return err
			}
			err = changeProviderKeys(cfg.Key.Dir, func(keys map[string]providerKey) error {
				keys[name] = providerKey{wrapped, time.Now().UTC().Truncate(time.Second)}
				return nil
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is kept; an upstream uses it by credential: {keyring: %s}, from the next start of the server\n", name, name)
			return err
		},
	}
	c.Flags().StringVar(&env, "env", "", "read the key from this environment `VARIABLE`, not from the standard input")
	return c
}

func readSecret(in io.Reader, env string) ([]byte, error) {
	if env != "" {
		if v := os.Getenv(env); v != "" {
			return []byte(v), nil
		}
		return nil, usageError{fmt.Errorf("the environment has no %s", env)}
	}
	b, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the key: %w", err)
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 || bytes.ContainsAny(b, "\n\r") {
		return nil, usageError{errors.New("the provider's key is read from the standard input, one line: printf %s \"$KEY\" | steno key provider set NAME")}
	}
	return b, nil
}

// makeRing makes the data directory and its key ring where there is none yet: a configuration that names a key of the keyring
// cannot start without it.
func (c *config) makeRing(cmd *cobra.Command) error {
	if _, err := os.Stat(filepath.Join(c.Key.Dir, "ring")); !errors.Is(err, fs.ErrNotExist) {
		return nil // opening it says what is wrong
	}
	s, err := openStore(cmd.Context(), storeConfig{
		Dir: c.Data, KeyDir: c.Key.Dir, Name: "gateway", Create: true, Months: c.Retention.Months,
		Timeout: c.Gateway.HeaderTimeout + c.Gateway.IdleTimeout, Logger: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)),
	})
	if err != nil {
		return err
	}
	return s.close("made for a provider's key")
}

func providerListCommand(load func() (*config, error)) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the names of the providers' keys in the keyring", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			keys, err := readProviderKeys(cfg.Key.Dir)
			if err != nil {
				return err
			}
			users := map[string][]string{}
			for up, u := range cfg.Gateway.Upstreams {
				if u.Credential.Keyring != "" {
					users[u.Credential.Keyring] = append(users[u.Credential.Keyring], up)
				}
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			if !asJSON {
				fmt.Fprintln(w, "NAME\tSET\tUSED BY")
			}
			for _, name := range slices.Sorted(maps.Keys(keys)) {
				ups := users[name]
				slices.Sort(ups)
				if asJSON {
					line := struct {
						Name      string    `json:"name"`
						Set       time.Time `json:"set"`
						Upstreams []string  `json:"upstreams"`
					}{name, keys[name].Set, append([]string{}, ups...)}
					if err := json.NewEncoder(c.OutOrStdout()).Encode(line); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", name, keys[name].Set.Format(time.RFC3339), cmp.Or(joinNames(ups), "-"))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func joinNames(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return allOr(names)
}

func providerRemoveCommand(load func() (*config, error)) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a provider's key from the keyring; a running server has it until it stops", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			err = changeProviderKeys(cfg.Key.Dir, func(keys map[string]providerKey) error {
				if _, ok := keys[args[0]]; !ok {
					return fmt.Errorf("the keyring has no provider key %q; `steno key provider list` shows them", args[0])
				}
				delete(keys, args[0])
				return nil
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is removed\n", args[0])
			return err
		},
	}
}
