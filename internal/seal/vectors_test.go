package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

var update = flag.Bool("update", false, "write testdata/vectors anew")

const vectorDir = "../../testdata/vectors"

// seededRandom is randomness that is always the same.
type seededRandom struct {
	seed string
	n    uint64
	left []byte
}

func (s *seededRandom) Read(b []byte) (int, error) {
	for i := range b {
		if len(s.left) == 0 {
			h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.seed), s.n))
			s.left, s.n = h[:], s.n+1
		}
		b[i], s.left = s.left[0], s.left[1:]
	}
	return len(b), nil
}

type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// vector is one file of testdata/vectors. What a file does not need is left out.
type vector struct {
	About    string               `json:"about"`
	Origin   string               `json:"origin,omitempty"`
	Rings    map[string]ringBytes `json:"rings,omitempty"`
	VKey     string               `json:"vkey,omitempty"`
	Leaves   []hexBytes           `json:"leaves,omitempty"`
	Bodies   []hexBytes           `json:"bodies,omitempty"` // empty for public records
	Root     hexBytes             `json:"root,omitempty"`
	Public   []publicRecord       `json:"public,omitempty"`
	Open     []opens              `json:"open,omitempty"`
	Disclose []disclosure         `json:"disclose,omitempty"`
	// Damaged bodies, which must be told from good ones without a key.
	Damaged []damagedBody `json:"damaged,omitempty"`
	// Pairs of a ring and a key-encryption key that must not fit.
	Closed   []closedRing      `json:"closed,omitempty"`
	Messages []message         `json:"messages,omitempty"`
	Streams  []encoded         `json:"streams,omitempty"`
	Segments []segmentVector   `json:"segments,omitempty"`
	Hashes   map[string]string `json:"hashes,omitempty"`
}

type ringBytes struct {
	Ring hexBytes `json:"ring"`
	KEK  string   `json:"kek"`
}

type publicRecord struct {
	Leaf    int            `json:"leaf"`
	Log     int            `json:"log"`
	Type    int            `json:"type"`
	Members map[string]any `json:"members"`
}

// opens is what comes out of one section with one ring.
type opens struct {
	Ring    string       `json:"ring"`
	Leaf    int          `json:"leaf"`
	Section int          `json:"section"`
	Alias   uint64       `json:"alias"`
	Erased  bool         `json:"erased,omitempty"`
	Fields  []namedValue `json:"fields,omitempty"`
	Pieces  []pieceValue `json:"pieces,omitempty"`
}

type namedValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type pieceValue struct {
	Kind   int       `json:"kind"`
	At     int       `json:"at,omitempty"`
	Length int       `json:"length"`
	Bytes  *hexBytes `json:"bytes"` // null: erased
}

// disclosure proves one field or piece to who has no key.
type disclosure struct {
	Leaf        int        `json:"leaf"`
	Section     int        `json:"section"`
	Name        *string    `json:"name,omitempty"` // of a field
	Value       hexBytes   `json:"value"`          // of a field, or the bytes of a piece
	Salt        hexBytes   `json:"salt"`
	Index       int        `json:"index"`
	Count       int        `json:"count"`
	Path        []hexBytes `json:"path"` // RFC 6962 audit path, lowest first
	SectionSalt hexBytes   `json:"section_salt"`
	ListHash    hexBytes   `json:"list_hash,omitempty"`
	LogPath     []hexBytes `json:"log_path"` // of the leaf in the tree of the vector
}

type damagedBody struct {
	Leaf int      `json:"leaf"`
	Body hexBytes `json:"body"`
}

type closedRing struct {
	Ring string `json:"ring"`
	KEK  string `json:"kek_of"`
}

type message struct {
	Offset int      `json:"offset"`
	Value  hexBytes `json:"value"`
	Root   hexBytes `json:"root"` // of the tree with it
}

type encoded struct {
	Codec   int      `json:"codec"`
	Encoded hexBytes `json:"encoded"`
	Plain   hexBytes `json:"plain"`
}

// vectorLog makes a log that is the same each time.
type vectorLog struct {
	*testLog
	v *vector
}

func newVectorLog(t *testing.T, seed, about string) *vectorLog {
	t.Helper()
	l := &testLog{t: t, fs: disk.NewMem()}
	k, err := create(l.fs, "/data.keys", testOrigin, noon, vectorKEK(t, seed), &seededRandom{seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	l.keys = k
	v := &vectorLog{l, &vector{About: about, Origin: testOrigin, Rings: map[string]ringBytes{}}}
	l.sealer = NewSealer(k, Config{Announce: v.record})
	return v
}

// vectorKEK is a Tink keyset with a key that is no secret.
func vectorKEK(t *testing.T, seed string) *keyset.Handle {
	t.Helper()
	key := sha256.Sum256([]byte("kek of " + seed))
	value := base64.StdEncoding.EncodeToString(append([]byte{0x1a, 0x20}, key[:]...))
	h, err := parseKEK([]byte(`{"primaryKeyId":77,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"` + value +
		`","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":77,"outputPrefixType":"TINK"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// order sets in a leaf what the writer of a log sets.
func (v *vectorLog) order(l *steno.Leaf) {
	n := len(v.leaves)
	l.WrittenAt = noon.Add(time.Duration(n) * time.Millisecond).UnixNano()
	l.Source, l.Number = [16]byte{15: 7}, uint64(n+1)
}

func (v *vectorLog) record(ty steno.PublicType, x any) error {
	pub, err := steno.EncodePublic(x)
	if err != nil {
		return err
	}
	l := steno.Leaf{Log: steno.Log(ty >> 8), Type: uint16(ty & 0xff), Flags: steno.FlagPublicOnly, SourceAt: noon.UnixNano(), Public: pub, BodyHash: sha256.Sum256(nil)}
	l.Record = steno.ID{0: 0xee, 15: byte(len(v.leaves))}
	v.order(&l)
	members := map[string]any{}
	if err := steno.DecodePublic(pub, &members); err != nil {
		return err
	}
	v.v.Public = append(v.v.Public, publicRecord{len(v.leaves), int(l.Log), int(l.Type), members})
	v.commit(&Sealed{Leaf: l})
	return nil
}

func (v *vectorLog) add(d *steno.Draft, at time.Time, flags steno.LeafFlags) int {
	v.t.Helper()
	// The day's key and the alias come first in the log.
	tenant := d.Identity.Tenant
	if _, err := v.sealer.day(tenant, at); err != nil {
		v.t.Fatal(err)
	}
	if _, err := v.sealer.alias(subject{tenant, d.Identity.User}); err != nil {
		v.t.Fatal(err)
	}
	d.ID = steno.ID{0: 0xaa, 15: byte(len(v.leaves))}
	d.Exchange = steno.ID{0: 0xbb, 15: 1}
	d.Time = at
	x, err := v.sealer.Seal(d, at)
	if err != nil {
		v.t.Fatal(err)
	}
	x.Leaf.Flags |= flags
	v.order(&x.Leaf)
	return int(v.commit(x))
}

func (v *vectorLog) ring(name string) {
	v.t.Helper()
	r, err := v.fs.ReadFile("/data.keys/ring")
	if err != nil {
		v.t.Fatal(err)
	}
	kek, err := v.fs.ReadFile("/data.keys/kek")
	if err != nil {
		v.t.Fatal(err)
	}
	v.v.Rings[name] = ringBytes{r, string(kek)}
}

// opens records what comes out of sections with the keys as they are now, which ring names.
func (v *vectorLog) opens(ring string, leaf int, sections ...steno.Section) {
	v.t.Helper()
	for _, s := range sections {
		x := opens{Ring: ring, Leaf: leaf, Section: int(s)}
		o, err := v.tryOpen(uint64(leaf), s)
		switch {
		case errors.Is(err, ErrErased):
			x.Erased = true
		case err != nil:
			v.t.Fatal(err)
		case s.IsList():
			x.Alias = o.Alias
			pieces := o.Request
			if s == steno.SectionOutput {
				pieces = o.Response
			}
			erased := map[int]int{}
			for _, m := range o.Missing {
				erased[m.Piece] = m.Length
			}
			for i, p := range pieces {
				pv := pieceValue{Kind: int(p.Kind), At: p.At, Length: len(p.Bytes), Bytes: (*hexBytes)(&p.Bytes)}
				if n, ok := erased[i]; ok {
					pv.Length, pv.Bytes = n, nil
				}
				x.Pieces = append(x.Pieces, pv)
			}
		default:
			x.Alias = o.Alias
			fields, err := o.Fields(s)
			if err != nil {
				v.t.Fatal(err)
			}
			for _, f := range fields {
				x.Fields = append(x.Fields, namedValue{f.Name, string(f.Value)})
			}
		}
		v.v.Open = append(v.v.Open, x)
	}
}

// disclose makes the proof of one field, or of one piece that the record itself stores.
func (v *vectorLog) disclose(leaf int, s steno.Section, index int) {
	v.t.Helper()
	l, body, _ := v.read(uint64(leaf))
	keys, err := v.keys.opening(l)
	if err != nil {
		v.t.Fatal(err)
	}
	b, err := parseBody(body)
	if err != nil {
		v.t.Fatal(err)
	}
	key, ok := keys.section(s)
	if !ok {
		v.t.Fatal("the section is erased")
	}
	plain, err := b.section(s, v.keys.log, l.Seal, key)
	if err != nil {
		v.t.Fatal(err)
	}
	salt := saltOf(key)
	x := disclosure{Leaf: leaf, Section: int(s), Index: index, SectionSalt: salt[:]}
	var entries [][32]byte
	if s.IsList() {
		op := &opening{k: v.keys, l: l, b: b, keys: keys, read: v.read, out: &Opened{}}
		list, err := op.list(s, plain)
		if err != nil {
			v.t.Fatal(err)
		}
		pieces, hashes, err := op.pieces(s, list)
		if err != nil {
			v.t.Fatal(err)
		}
		pk, ok := keys.piece(list[index].piece)
		if !ok || list[index].old {
			v.t.Fatal("the piece is erased, or another record's")
		}
		ps, lh := saltOf(pk), sha256.Sum256(plain)
		entries, x.Value, x.Salt, x.ListHash = hashes, pieces[index].Bytes, ps[:], lh[:]
	} else {
		fields, err := parseFields(plain)
		if err != nil {
			v.t.Fatal(err)
		}
		for i, f := range fields {
			entries = append(entries, commitField(fieldSalt(key, i), f))
		}
		fs := fieldSalt(key, index)
		x.Name, x.Value, x.Salt = &fields[index].Name, fields[index].Value, fs[:]
	}
	x.Count, x.Path = len(entries), auditPath(index, entries)
	v.v.Disclose = append(v.v.Disclose, x)
}

// auditPath is RFC 6962's, over entries that are hashed once more (as steno.TreeHash does).
func auditPath(index int, entries [][32]byte) []hexBytes {
	if len(entries) <= 1 {
		return []hexBytes{}
	}
	k := 1
	for 2*k < len(entries) {
		k *= 2
	}
	var path []hexBytes
	var other [32]byte
	if index < k {
		path, other = auditPath(index, entries[:k]), steno.TreeHash(entries[k:])
	} else {
		path, other = auditPath(index-k, entries[k:]), steno.TreeHash(entries[:k])
	}
	return append(path, other[:])
}

// finish adds the log itself, and the proofs of leaves for what is disclosed.
func (v *vectorLog) finish() *vector {
	hashes := make([][32]byte, len(v.leaves))
	for i, l := range v.leaves {
		b := l.Append(nil)
		hashes[i] = steno.LeafHash(b)
		v.v.Leaves = append(v.v.Leaves, b)
		v.v.Bodies = append(v.v.Bodies, v.bodies[i])
	}
	root := rootOf(hashes)
	v.v.Root = root[:]
	for i := range v.v.Disclose {
		v.v.Disclose[i].LogPath = logPath(v.v.Disclose[i].Leaf, hashes)
	}
	return v.v
}

func rootOf(hashes [][32]byte) [32]byte {
	switch len(hashes) {
	case 0:
		return steno.EmptyRoot
	case 1:
		return hashes[0]
	}
	k := 1
	for 2*k < len(hashes) {
		k *= 2
	}
	return steno.NodeHash(rootOf(hashes[:k]), rootOf(hashes[k:]))
}

func logPath(index int, hashes [][32]byte) []hexBytes {
	if len(hashes) <= 1 {
		return []hexBytes{}
	}
	k := 1
	for 2*k < len(hashes) {
		k *= 2
	}
	var path []hexBytes
	var other [32]byte
	if index < k {
		path, other = logPath(index, hashes[:k]), rootOf(hashes[k:])
	} else {
		path, other = logPath(index-k, hashes[k:]), rootOf(hashes[:k])
	}
	return append(path, other[:])
}

// vectors are the files, each made by a function of its own.
var vectors = []struct {
	name string
	make func(t *testing.T) *vector
}{
	{"01-field", vectorField},
	{"02-piece", vectorPiece},
	{"03-keyless", vectorKeyless},
	{"04-day", vectorDay},
	{"05-hold", vectorHold},
	{"06-hundred", vectorHundred},
	{"07-midnight", vectorMidnight},
	{"08-tenants", vectorTenants},
	{"09-kek", vectorKEKs},
	{"10-engine", vectorEngine},
	{"11-stream", vectorStream},
	{"12-segment", vectorSegment},
}

// TestVectors makes each vector again and compares it with its file, but for the rings: their wrapping is random, so
// the stored ones are opened, and their content is compared.
func TestVectors(t *testing.T) {
	for _, x := range vectors {
		t.Run(x.name, func(t *testing.T) {
			v := x.make(t)
			name := filepath.Join(vectorDir, x.name+".json")
			if *update {
				var b bytes.Buffer
				enc := json.NewEncoder(&b)
				enc.SetIndent("", " ")
				enc.SetEscapeHTML(false)
				if err := enc.Encode(v); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var stored vector
			if err := json.Unmarshal(b, &stored); err != nil {
				t.Fatal(err)
			}
			for name, r := range stored.Rings {
				made, ok := v.Rings[name]
				if !ok {
					t.Errorf("ring %q is not made any more", name)
				}
				if got, want := ringContent(t, r), ringContent(t, made); !bytes.Equal(got, want) {
					t.Errorf("ring %q has another content", name)
				}
				v.Rings[name] = r
			}
			if got, want := asJSON(t, v), asJSON(t, stored); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s is made otherwise now: the format has changed", name)
			}
		})
	}
}

func ringContent(t *testing.T, r ringBytes) []byte {
	t.Helper()
	m := disk.NewMem()
	if err := m.MkdirAll("/k"); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(m, "/k/ring", r.Ring); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(m, "/k/kek", []byte(r.KEK)); err != nil {
		t.Fatal(err)
	}
	k, err := Open(m, "/k", testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ringEnc.Marshal(k.ring)
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.AppendUint64(b, k.number)
}

// TestReader runs the reader that was written from the description of the format alone.
func TestReader(t *testing.T) {
	python := os.Getenv("STENO_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import cryptography, zstandard").CombinedOutput(); err != nil {
		t.Skipf("%s can't run testdata/vectors/reader.py, which needs the modules cryptography and zstandard: %s", python, lastLine(out))
	}
	reader := filepath.Join(vectorDir, "reader.py")
	out, err := exec.Command(python, reader).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	if got := strings.Count(string(out), ": ok"); got != len(vectors) {
		t.Errorf("the reader found %d of %d vectors good", got, len(vectors))
	}

	// It sees when one digit is another, in whatever field that is checked.
	for _, at := range []int{0, 1, 2} {
		dir := t.TempDir()
		for _, x := range vectors {
			b, err := os.ReadFile(filepath.Join(vectorDir, x.name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, x.name+".json"), flipDigit(t, b, at), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(python, reader, dir).CombinedOutput()
		if err == nil || strings.Count(string(out), ": FAILED") != len(vectors) {
			t.Errorf("digit %d: the reader does not see that vectors were changed: %v\n%s", at, err, out)
		}
	}
}

// flipDigit changes the middle of one of the long strings of hex digits in a vector: the first, one a quarter of the way, or
// the middle one.
func flipDigit(t *testing.T, b []byte, which int) []byte {
	t.Helper()
	long := regexp.MustCompile(`"[0-9a-f]{64,}"`).FindAllIndex(b, -1)
	if len(long) < 3 {
		t.Fatal("there is nothing to change")
	}
	m := long[which*(len(long)-1)/4]
	at := (m[0] + m[1]) / 2
	out := bytes.Clone(b)
	if out[at]++; out[at] == '9'+1 || out[at] == 'f'+1 {
		out[at] = '0'
	}
	return out
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}
