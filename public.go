package steno

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// PublicType names what a public record says: log in the high byte, type in the low. Values are part of the format.
type PublicType uint16

// The public records. All that concerns keys, sources and the log itself is public, so that who holds no key can
// check it; nothing about a person or a call is.
const (
	TypeLogCreated       = PublicType(LogMonitoring)<<8 | 1
	TypeSourceStarted    = PublicType(LogMonitoring)<<8 | 2
	TypeSourceStopped    = PublicType(LogMonitoring)<<8 | 3
	TypeHeartbeat        = PublicType(LogMonitoring)<<8 | 4
	TypeLogGap           = PublicType(LogMonitoring)<<8 | 5
	TypeTailDiscarded    = PublicType(LogMonitoring)<<8 | 6
	TypeClockStepped     = PublicType(LogMonitoring)<<8 | 7
	TypeInsecureListener = PublicType(LogMonitoring)<<8 | 8
	TypeDayKeyOpened     = PublicType(LogCompliance)<<8 | 1
	TypeAliasBlockOpened = PublicType(LogCompliance)<<8 | 2
	TypeDayKeyDestroyed  = PublicType(LogCompliance)<<8 | 3
	TypeErasureRequested = PublicType(LogCompliance)<<8 | 4
	TypeErasureCompleted = PublicType(LogCompliance)<<8 | 5
)

var publicNames = map[PublicType]string{
	TypeLogCreated:       "monitoring.log_created",
	TypeSourceStarted:    "monitoring.source_started",
	TypeSourceStopped:    "monitoring.source_stopped",
	TypeHeartbeat:        "monitoring.heartbeat",
	TypeLogGap:           "monitoring.log_gap",
	TypeTailDiscarded:    "monitoring.tail_discarded",
	TypeClockStepped:     "monitoring.clock_stepped",
	TypeInsecureListener: "monitoring.insecure_listener",
	TypeDayKeyOpened:     "compliance.day_key_opened",
	TypeAliasBlockOpened: "compliance.alias_block_opened",
	TypeDayKeyDestroyed:  "compliance.day_key_destroyed",
	TypeErasureRequested: "compliance.erasure_requested",
	TypeErasureCompleted: "compliance.erasure_completed",
}

func (t PublicType) String() string {
	if n, ok := publicNames[t]; ok {
		return n
	}
	return fmt.Sprintf("public(%d,%d)", uint8(t>>8), uint8(t))
}

// PublicType returns what a public record says; 0 for a sealed one.
func (l *Leaf) PublicType() PublicType {
	if l.Flags&FlagPublicOnly == 0 {
		return 0
	}
	return PublicType(l.Log)<<8 | PublicType(l.Type)
}

// LogCreated is the first record of a log.
type LogCreated struct {
	Origin  string `cbor:"origin" json:"origin"`
	VKey    string `cbor:"vkey" json:"vkey"` // C2SP signed-note verifier key
	Created int64  `cbor:"created" json:"created"`
	Demo    bool   `cbor:"demo,omitempty" json:"demo,omitempty"`
}

// SourceStarted is the first record of each source.
type SourceStarted struct {
	Name            string `cbor:"name" json:"name"`
	Version         string `cbor:"version" json:"version"`
	Previous        []byte `cbor:"previous,omitempty" json:"previous,omitempty"`
	PreviousNumber  uint64 `cbor:"previous_number,omitempty" json:"previous_number,omitempty"`
	HeartbeatNS     int64  `cbor:"heartbeat_ns" json:"heartbeat_ns"`
	ExchangeTimeout int64  `cbor:"exchange_timeout_ns" json:"exchange_timeout_ns"` // an open exchange silent for longer is not complete
	Unanchored      bool   `cbor:"unanchored,omitempty" json:"unanchored,omitempty"`
}

// SourceStopped is the last record of a source that stopped cleanly.
type SourceStopped struct {
	Reason string `cbor:"reason" json:"reason"`
}

// Heartbeat says that a source lives, and how sure the clock is.
type Heartbeat struct {
	Open       int    `cbor:"open" json:"open"`
	OffsetNS   int64  `cbor:"offset_ns" json:"offset_ns"`
	MaxErrorNS int64  `cbor:"max_error_ns" json:"max_error_ns"`
	Clock      uint32 `cbor:"clock" json:"clock"` // a ClockState
}

// LogGap says that calls passed unrecorded.
type LogGap struct {
	From        int64  `cbor:"from" json:"from"`
	To          int64  `cbor:"to" json:"to"`
	FirstNumber uint64 `cbor:"first_number" json:"first_number"` // of the numbers that stand for the unrecorded calls
	LastNumber  uint64 `cbor:"last_number" json:"last_number"`
	Calls       uint64 `cbor:"calls" json:"calls"`
	Why         string `cbor:"why" json:"why"`
}

// TailDiscarded says what recovery left out: bytes of a group that was never whole, so never acknowledged.
type TailDiscarded struct {
	Segment       uint64 `cbor:"segment" json:"segment"`
	Offset        int64  `cbor:"offset" json:"offset"`
	Bytes         int64  `cbor:"bytes" json:"bytes"`
	Hash          []byte `cbor:"hash" json:"hash"`
	RecoveredSize uint64 `cbor:"recovered_size" json:"recovered_size"`
}

// ClockStepped says that the system's clock was set while the recorder ran.
type ClockStepped struct {
	ByNS int64 `cbor:"by_ns" json:"by_ns"`
}

// InsecureListener says that an address beyond loopback was opened without TLS.
type InsecureListener struct {
	Address string `cbor:"address" json:"address"` // "gateway" or "console"
}

// DayKeyOpened precedes the first use of a day key.
type DayKeyOpened struct {
	No        uint32 `cbor:"no" json:"no"`
	Class     string `cbor:"class" json:"class"`
	Day       string `cbor:"day" json:"day"`
	KeepUntil string `cbor:"keep_until" json:"keep_until"` // the key is not destroyed before this day
}

// AliasBlockOpened precedes the first use of a block of 65,536 aliases.
type AliasBlockOpened struct {
	No uint32 `cbor:"no" json:"no"`
}

// DayKeyDestroyed follows the destruction of a day key.
type DayKeyDestroyed struct {
	No    uint32 `cbor:"no" json:"no"`
	Class string `cbor:"class" json:"class"`
	Day   string `cbor:"day" json:"day"`
}

var (
	publicEnc = must(cbor.CoreDetEncOptions().EncMode())
	publicDec = must(cbor.DecOptions{
		MaxNestedLevels: 8, MaxArrayElements: 4096, MaxMapPairs: 256, IndefLength: cbor.IndefLengthForbidden,
		DupMapKey: cbor.DupMapKeyEnforcedAPF, ExtraReturnErrors: cbor.ExtraDecErrorNone,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// EncodePublic returns the deterministic CBOR of one of the public structs above.
func EncodePublic(v any) ([]byte, error) { return publicEnc.Marshal(v) }

// DecodePublic reads it into a pointer to one of them; unknown members are ignored.
func DecodePublic(b []byte, v any) error { return publicDec.Unmarshal(b, v) }
