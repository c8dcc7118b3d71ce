package main

import "time"

// config is the one YAML file. Every member has a default, so that no file is needed.
type config struct {
	Data      string          `yaml:"data"`
	Key       keyConfig       `yaml:"key"`
	Gateway   gatewayConfig   `yaml:"gateway"`
	Console   consoleConfig   `yaml:"console"`
	Checks    checksConfig    `yaml:"checks"`
	Alerts    alertsConfig    `yaml:"alerts"`
	Retention retentionConfig `yaml:"retention"`
}

// keyConfig says where the ring and the key that wraps it lie.
type keyConfig struct {
	Dir string `yaml:"dir"` // default: DATA.keys
}

type gatewayConfig struct {
	Listen         string                    `yaml:"listen"`
	TLS            *tlsConfig                `yaml:"tls"`
	InsecureHTTP   bool                      `yaml:"insecure_http"`
	Hosts          []string                  `yaml:"hosts"` // Host headers accepted besides loopback names and the listener's own
	AllowAnonymous bool                      `yaml:"allow_anonymous"`
	OnLogFailure   string                    `yaml:"on_log_failure"` // block, allow
	MaxBody        byteSize                  `yaml:"max_body"`
	MaxInFlight    byteSize                  `yaml:"max_in_flight"`
	HeaderTimeout  time.Duration             `yaml:"header_timeout"`
	IdleTimeout    time.Duration             `yaml:"idle_timeout"`
	Upstreams      map[string]upstreamConfig `yaml:"upstreams"`
	Keys           []gatewayKey              `yaml:"keys"`
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

// credential is `passthrough`, or a secret by reference.
type credential struct {
	Passthrough bool
	Secret      secret
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
