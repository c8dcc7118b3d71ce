package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// config is the one YAML file. Every member has a default, so that no file is needed.
type config struct {
	Data      string          `yaml:"data"`
	Key       keyConfig       `yaml:"key"`
	Gateway   gatewayConfig   `yaml:"gateway"`
	Console   consoleConfig   `yaml:"console"`
	Checks    checksConfig    `yaml:"checks"`
	Policy    policyConfig    `yaml:"policy"`
	Alerts    alertsConfig    `yaml:"alerts"`
	Retention retentionConfig `yaml:"retention"`
}

// keyConfig says where the ring and the key that wraps it lie.
type keyConfig struct {
	Dir string `yaml:"dir"` // default: DATA.keys
}

type gatewayConfig struct {
	Listen             string                    `yaml:"listen"`
	TLS                *tlsConfig                `yaml:"tls"`
	InsecureHTTP       bool                      `yaml:"insecure_http"`
	Hosts              []string                  `yaml:"hosts"` // Host headers accepted besides loopback names and the listener's own
	AllowAnonymous     bool                      `yaml:"allow_anonymous"`
	Tokens             []issuerConfig            `yaml:"tokens"` // issuers of tokens that vouch for callers
	ClientCertificates *certificatesConfig       `yaml:"client_certificates"`
	Proxies            *proxiesConfig            `yaml:"proxies"`
	OnLogFailure       string                    `yaml:"on_log_failure"` // block, allow
	MaxBody            byteSize                  `yaml:"max_body"`
	MaxInFlight        byteSize                  `yaml:"max_in_flight"`
	HeaderTimeout      time.Duration             `yaml:"header_timeout"`
	IdleTimeout        time.Duration             `yaml:"idle_timeout"`
	Upstreams          map[string]upstreamConfig `yaml:"upstreams"`
	Keys               []gatewayKey              `yaml:"keys"`
}

type tlsConfig struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

type upstreamConfig struct {
	Dialect    string     `yaml:"dialect"`
	URL        string     `yaml:"url"`
	Credential credential `yaml:"credential"`
}

// credential is `passthrough`, a secret by reference, or a key to sign with.
type credential struct {
	Passthrough bool
	Keyring     string // name of a key that `steno key provider set` has kept
	Secret      secret
	AWS         *awsCredential
}

// secret is never written in the file itself.
type secret struct {
	Env  string `yaml:"env"`
	File string `yaml:"file"`
}

type gatewayKey struct {
	ID        string   `yaml:"id"`
	SHA256    string   `yaml:"sha256"`
	User      string   `yaml:"user"`
	Role      string   `yaml:"role"`
	Team      string   `yaml:"team"`
	Tenant    string   `yaml:"tenant"`
	Upstreams []string `yaml:"upstreams"`
	Owner     string   `yaml:"owner"`  // who answers for it
	Models    []string `yaml:"models"` // that it may ask for: names, or patterns such as gpt-4o*
	Expires   string   `yaml:"expires"`
	Budget    string   `yaml:"budget"` // "50 USD/month", "200000 tokens/day"
}

type consoleConfig struct {
	Listen       string     `yaml:"listen"`
	TLS          *tlsConfig `yaml:"tls"`
	InsecureHTTP bool       `yaml:"insecure_http"`
	Hosts        []string   `yaml:"hosts"`
	Token        *secret    `yaml:"token"` // default: one made at first start, kept in DATA.keys/token
}

type checksConfig struct {
	Secrets   bool              `yaml:"secrets"`
	Injection bool              `yaml:"injection"`
	Actions   map[string]string `yaml:"actions"` // flag → record, alert, block
}

type alertsConfig struct {
	File string `yaml:"file"` // default: DATA/alerts.jsonl
}

type retentionConfig struct {
	Months int `yaml:"months"` // at least so long every record is kept; nothing expires yet
}

// byteSize is a number of bytes, written 1048576, 64KiB, 64MiB or 1GiB.
type byteSize int64

// defaultConfig needs no file: it listens on loopback and forwards to OpenAI, Anthropic and Google.
func defaultConfig(getenv func(string) string) *config {
	up := func(dialect, url, env string) upstreamConfig {
		c := credential{Passthrough: true}
		if getenv(env) != "" {
			c = credential{Secret: secret{Env: env}}
		}
		return upstreamConfig{dialect, url, c}
	}
	return &config{
		Data: "steno-data",
		Gateway: gatewayConfig{
			Listen: "127.0.0.1:4600", OnLogFailure: "block", MaxBody: 64 << 20, MaxInFlight: 512 << 20,
			HeaderTimeout: 15 * time.Minute, IdleTimeout: 5 * time.Minute,
			Upstreams: map[string]upstreamConfig{
				"openai":    up("openai", "https://api.openai.com", "OPENAI_API_KEY"),
				"anthropic": up("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
				"gemini":    up("gemini", "https://generativelanguage.googleapis.com", "GEMINI_API_KEY"),
			},
		},
		Console:   consoleConfig{Listen: "127.0.0.1:4601"},
		Checks:    checksConfig{Secrets: true, Injection: true, Actions: map[string]string{"secret": "alert", "jailbreak": "alert", "injection": "alert", "prompt_leak": "alert"}},
		Retention: retentionConfig{Months: 24},
	}
}

// loadConfig joins the sources: flag over STENO_… over file over default.
func loadConfig(f serveFlags, getenv func(string) string) (*config, error) {
	cfg := defaultConfig(getenv)
	file := f.file
	if file == "" {
		file = getenv("STENO_CONFIG")
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the configuration: %w", err)
		}
		if err := cfg.parse(b, file); err != nil {
			return nil, usageError{err}
		}
	}
	for _, o := range []struct {
		to        *string
		env, flag string
	}{
		{&cfg.Data, "STENO_DATA", f.data},
		{&cfg.Gateway.Listen, "STENO_GATEWAY", f.gateway},
		{&cfg.Console.Listen, "STENO_CONSOLE", f.console},
	} {
		if v := getenv(o.env); v != "" {
			*o.to = v
		}
		if o.flag != "" {
			*o.to = o.flag
		}
	}
	if err := cfg.complete(); err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// parse reads the YAML over the defaults. Upstreams in the file replace the default ones, all of them.
func (c *config) parse(b []byte, name string) error {
	ups := c.Gateway.Upstreams
	c.Gateway.Upstreams = nil
	err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(c)
	if c.Gateway.Upstreams == nil {
		c.Gateway.Upstreams = ups
	}
	if err == nil || errors.Is(err, fs.ErrClosed) || err.Error() == "EOF" {
		return nil
	}
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) && unknown.Token != nil {
		line := unknown.Token.Position.Line
		key := unknown.Token.Value
		hint := ""
		if near := nearest(key, configKeys(reflect.TypeFor[config]())); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return fmt.Errorf("%s:%d: unknown key %q%s (`steno config schema` lists them all)", name, line, key, hint)
	}
	return fmt.Errorf("%s: %s", name, strings.TrimSpace(yaml.FormatError(err, false, false)))
}

// complete fills in what follows from other members and says what is wrong.
func (c *config) complete() error {
	var err error
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if c.Key.Dir == "" {
		c.Key.Dir = c.Data + ".keys"
	}
	if c.Key.Dir, err = filepath.Abs(c.Key.Dir); err != nil {
		return fmt.Errorf("key.dir: %w", err)
	}
	if rel, err := filepath.Rel(c.Data, c.Key.Dir); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fmt.Errorf("key.dir: %s lies within the data directory; copies of the data must never hold the keys", c.Key.Dir)
	}
	if c.Alerts.File == "" {
		c.Alerts.File = filepath.Join(c.Data, "alerts.jsonl")
	}
	if !slices.Contains([]string{"block", "allow"}, c.Gateway.OnLogFailure) {
		return fmt.Errorf("gateway.on_log_failure: %q is neither block nor allow", c.Gateway.OnLogFailure)
	}
	for flag, action := range c.Checks.Actions {
		if !slices.Contains(steno.Flags, steno.Flag(flag)) {
			return fmt.Errorf("checks.actions: %q is no flag; flags are %v", flag, steno.Flags)
		}
		if !slices.Contains([]string{"record", "alert", "block"}, action) {
			return fmt.Errorf("checks.actions.%s: %q is none of record, alert, block", flag, action)
		}
	}
	if c.Retention.Months < 1 {
		return fmt.Errorf("retention.months: %d; records are kept for at least one month", c.Retention.Months)
	}
	if c.Gateway.HeaderTimeout <= 0 || c.Gateway.IdleTimeout <= 0 {
		return errors.New("gateway.header_timeout and gateway.idle_timeout must be positive, such as 15m")
	}
	return c.completeGateway()
}

var upstreamName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

func (c *config) completeGateway() error {
	if len(c.Gateway.Upstreams) == 0 {
		return errors.New("gateway.upstreams: there are none; name at least one, with dialect, url and credential")
	}
	for name, u := range c.Gateway.Upstreams {
		at := "gateway.upstreams." + name
		switch {
		case !upstreamName.MatchString(name) || name == "v1" || name == "-":
			return fmt.Errorf("%s: a name has lower-case letters, digits, - and _, and is not v1", at)
		case !slices.Contains(dialect.Dialects, u.Dialect):
			return fmt.Errorf("%s.dialect: %q is none of %s", at, u.Dialect, strings.Join(dialect.Dialects, ", "))
		case u.URL == "":
			return fmt.Errorf("%s.url: is missing", at)
		case u.Credential == (credential{}):
			return fmt.Errorf("%s.credential: is missing; write passthrough, {keyring: NAME}, {env: NAME} or {file: PATH}", at)
		case u.Credential.AWS != nil && u.Dialect != dialect.Bedrock:
			return fmt.Errorf("%s.credential: aws signs calls of the dialect bedrock only, and this one's is %s", at, u.Dialect)
		}
	}
	if err := c.checkCallers(); err != nil {
		return err
	}
	ids := map[string]bool{}
	for i, k := range c.Gateway.Keys {
		at := fmt.Sprintf("gateway.keys[%d]", i)
		if k.ID == "" {
			return fmt.Errorf("%s.id: is missing", at)
		}
		if ids[k.ID] {
			return fmt.Errorf("%s.id: %q is used twice", at, k.ID)
		}
		ids[k.ID] = true
		if b, err := hex.DecodeString(k.SHA256); err != nil || len(b) != 32 {
			return fmt.Errorf("%s.sha256: 64 hex digits are needed; `steno key new` prints them", at)
		}
		if err := checkKeyLimits(k); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		for _, u := range k.Upstreams {
			if _, ok := c.Gateway.Upstreams[u]; !ok && u != "events" {
				return fmt.Errorf("%s.upstreams: there is no upstream %q", at, u)
			}
		}
	}
	return nil
}

// UnmarshalYAML reads passthrough, {keyring: NAME}, {env: NAME}, {file: PATH}, aws or {aws: {…}}; a secret itself is refused without being
// repeated.
func (c *credential) UnmarshalYAML(unmarshal func(any) error) error {
	var word string
	if unmarshal(&word) == nil {
		switch word {
		case "passthrough":
			c.Passthrough = true
		case "aws":
			c.AWS = &awsCredential{}
		default:
			return errors.New("a credential is never written here: use passthrough, {keyring: NAME}, {env: NAME}, {file: PATH}, or aws for Bedrock")
		}
		return nil
	}
	var keys map[string]any
	if unmarshal(&keys) == nil {
		if _, ok := keys["aws"]; ok {
			var of struct {
				AWS awsCredential `yaml:"aws"`
			}
			err := unmarshal(&of)
			c.AWS = &of.AWS
			return err
		}
		if name, ok := keys["keyring"].(string); ok && name != "" && len(keys) == 1 {
			c.Keyring = name
			return nil
		}
	}
	return unmarshal(&c.Secret)
}

// UnmarshalYAML reads {env: NAME} or {file: PATH}.
func (s *secret) UnmarshalYAML(unmarshal func(any) error) error {
	var m map[string]string
	if err := unmarshal(&m); err != nil {
		return errors.New("a secret is never written here: use {env: NAME} or {file: PATH}")
	}
	for k, v := range m {
		switch k {
		case "env":
			s.Env = v
		case "file":
			s.File = v
		default:
			return fmt.Errorf("a secret is {env: NAME} or {file: PATH}; %q is neither", k)
		}
	}
	if (s.Env == "") == (s.File == "") {
		return errors.New("a secret is either {env: NAME} or {file: PATH}")
	}
	return nil
}

// resolve reads the secret.
func (s secret) resolve() (string, error) {
	if s.Env != "" {
		if v := os.Getenv(s.Env); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("the environment has no %s", s.Env)
	}
	b, err := os.ReadFile(s.File)
	if err != nil {
		return "", fmt.Errorf("couldn't read the secret: %w", err)
	}
	if v := strings.TrimSpace(string(b)); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("%s is empty", s.File)
}

var sizeUnits = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// UnmarshalYAML reads 1048576, 64KiB, 64MiB or 1GiB.
func (s *byteSize) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	digits := strings.TrimRight(text, "BKMGi ")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, ok := sizeUnits[strings.TrimSpace(text[len(digits):])]
	if err != nil || !ok || n <= 0 || n > 1<<40/unit {
		return fmt.Errorf("%q is no size; write it as 64MiB", text)
	}
	*s = byteSize(n * unit)
	return nil
}

// consoleToken is the configured one, else the one made at the first start.
func (c *config) consoleToken(keyDir string) (string, error) {
	if c.Console.Token != nil {
		t, err := c.Console.Token.resolve()
		if err != nil {
			return "", usageError{fmt.Errorf("console.token: %w", err)}
		}
		return t, nil
	}
	name := filepath.Join(keyDir, "token")
	b, err := os.ReadFile(name)
	if err == nil && len(bytes.TrimSpace(b)) > 0 {
		return string(bytes.TrimSpace(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("couldn't read the console's token: %w", err)
	}
	var r [24]byte
	if _, err := rand.Read(r[:]); err != nil {
		return "", err
	}
	token := hex.EncodeToString(r[:])
	if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("couldn't keep the console's token: %w", err)
	}
	return token, nil
}

// configKeys lists every key of the file.
func configKeys(t reflect.Type) []string {
	var out []string
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return configKeys(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name != "" {
				out = append(out, name)
			}
			out = append(out, configKeys(t.Field(i).Type)...)
		}
	}
	return out
}

// nearest is the known word with the fewest edits, if it is near at all.
func nearest(word string, known []string) string {
	best, at := "", 1+len(word)/2
	for _, k := range known {
		if d := edits(word, k); d < at {
			best, at = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
