// Package hunt looks for words that must not be anywhere in clear: it takes canaries, and goes through files for each of
// them, raw, escaped, encoded, compressed, and as a hash made without a key.
//
// It shares nothing with what wrote the files. It proves itself before it is believed: Check plants every canary in every
// disguise into files of its own and must find them all. What it does not find may still be there in a disguise that it
// does not know; it never says more than where it looked and for what.
package hunt

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
)

// Canary is a word to look for and the field it was put into.
type Canary struct {
	Field, Word string
}

// New makes a canary for a field: random, incompressible, and such that no encoding of ordinary text leaves it unchanged.
func New(field string) Canary {
	var r [12]byte
	if _, err := rand.Read(r[:]); err != nil {
		panic(err) // crypto/rand never fails on a supported system
	}
	return Canary{field, "Zq" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(r[:])) + "é\"<7"}
}

// NewPlain makes a canary for fields that take no special characters: header values, ids, user names in paths.
func NewPlain(field string) Canary {
	c := New(field)
	c.Word = strings.TrimSuffix(c.Word, "é\"<7") + "x7"
	return c
}

// Hit is a canary found where it must not be.
type Hit struct {
	Canary
	Disguise string // how it was written
	Path     string
	Offset   int64
}

func (h Hit) String() string {
	return fmt.Sprintf("%s: the canary of %s, %s, at byte %d", h.Path, h.Field, h.Disguise, h.Offset)
}

type needle struct {
	disguise string
	bytes    []byte
}

// needles lists the disguises in which a word is looked for.
func needles(word string) []needle {
	raw := []byte(word)
	out := []needle{{"raw", raw}}
	add := func(name string, b []byte) {
		if len(b) >= 8 && !bytes.Equal(b, raw) {
			out = append(out, needle{name, b})
		}
	}
	if j, err := json.Marshal(word); err == nil {
		add("JSON-escaped", j[1:len(j)-1])
		twice, _ := json.Marshal(string(j)) // a string always marshals
		add("JSON-escaped twice", twice[3:len(twice)-3])
	}
	var ascii strings.Builder
	for _, r := range word {
		if r < 128 {
			ascii.WriteRune(r)
		} else {
			fmt.Fprintf(&ascii, `\u%04x`, r)
		}
	}
	add(`\u-escaped`, []byte(ascii.String()))
	add("URL-escaped", []byte(url.QueryEscape(word)))
	add("hex", []byte(hex.EncodeToString(raw)))
	add("HEX", []byte(strings.ToUpper(hex.EncodeToString(raw))))
	// Base64 of a text that holds the word somewhere: the middle that no neighbour can change, for each alignment.
	for shift := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			s := enc.EncodeToString(append(make([]byte, shift), raw...))
			from, to := (shift*8+5)/6, len(s)
			if (shift+len(raw))%3 != 0 {
				to--
			}
			add(fmt.Sprintf("%s, shifted by %d", name, shift), []byte(s[from:to]))
		}
	}
	var le, be []byte
	for _, u := range utf16.Encode([]rune(word)) {
		le, be = binary.LittleEndian.AppendUint16(le, u), binary.BigEndian.AppendUint16(be, u)
	}
	add("UTF-16LE", le)
	add("UTF-16BE", be)
	for _, text := range []string{word, `"` + word + `"`, word + "\n"} {
		s1, s256, s512, m5 := sha1.Sum([]byte(text)), sha256.Sum256([]byte(text)), sha512.Sum512([]byte(text)), md5.Sum([]byte(text))
		for name, h := range map[string][]byte{"SHA-1": s1[:], "SHA-256": s256[:], "SHA-512": s512[:], "MD5": m5[:]} {
			// A quarter of a hash is enough to recognise a word by, so it is enough to be found.
			h = h[:max(8, len(h)/4)]
			add("unkeyed "+name, h)
			add("unkeyed "+name+" in hex", []byte(hex.EncodeToString(h)))
		}
	}
	return out
}

// prepared is a canary with its disguises.
type prepared struct {
	Canary
	needles []needle
}

func prepare(canaries []Canary) []prepared {
	out := make([]prepared, len(canaries))
	for i, c := range canaries {
		out[i] = prepared{c, needles(c.Word)}
	}
	return out
}

// In looks through data, and through what is compressed in it.
func In(path string, data []byte, canaries []Canary) []Hit { return in(path, data, prepare(canaries)) }

func in(path string, data []byte, canaries []prepared) []Hit {
	var hits []Hit
	look(data, canaries, func(c Canary, disguise string, at int64) { hits = append(hits, Hit{c, disguise, path, at}) })
	for at := range data {
		plain, how := unpack(data[at:])
		if len(plain) == 0 {
			continue
		}
		look(plain, canaries, func(c Canary, disguise string, _ int64) {
			hits = append(hits, Hit{c, disguise + ", in " + how, path, int64(at)})
		})
	}
	return hits
}

func look(data []byte, canaries []prepared, found func(Canary, string, int64)) {
	for _, c := range canaries {
		for _, n := range c.needles {
			if at := bytes.Index(data, n.bytes); at >= 0 {
				found(c.Canary, n.disguise, int64(at))
			}
		}
	}
}

var zstdDecoder = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(16<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic(err) // options are constants
	}
	return d
}()

// unpack decompresses what begins here, if something does: by magic, so that it can be tried at each byte.
func unpack(b []byte) (plain []byte, how string) {
	limited := func(r io.Reader, err error) []byte {
		if err != nil {
			return nil
		}
		out, _ := io.ReadAll(io.LimitReader(r, 4<<20)) // what comes before an error counts
		return out
	}
	switch {
	case len(b) > 8 && b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd:
		out, _ := zstdDecoder.DecodeAll(b, nil) // the same
		return out, "zstd"
	case len(b) > 18 && b[0] == 0x1f && b[1] == 0x8b && b[2] == 8:
		return limited(gzip.NewReader(bytes.NewReader(b))), "gzip"
	case len(b) > 8 && b[0] == 0x78 && (uint(b[0])<<8|uint(b[1]))%31 == 0:
		return limited(zlib.NewReader(bytes.NewReader(b))), "zlib"
	}
	return nil, ""
}

// Files looks through all files under the roots; a root that does not exist is an error.
func Files(canaries []Canary, roots ...string) (hits []Hit, looked int, err error) {
	ready := prepare(canaries)
	for _, root := range roots {
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("couldn't look into %s: %w", path, err)
			}
			looked++
			hits = append(hits, in(path, b, ready)...)
			return nil
		})
		if err != nil {
			return hits, looked, err
		}
	}
	return hits, looked, nil
}

// Check plants each canary in each disguise in dir and looks for it there; it returns an error for one that it misses.
func Check(dir string, canaries []Canary) error {
	for _, c := range canaries {
		text := []byte("before " + c.Word + " after")
		disguises := map[string][]byte{"raw": text}
		for _, n := range needles(c.Word) {
			disguises[n.disguise] = append([]byte("before "), n.bytes...)
		}
		for name, pack := range packers {
			var b bytes.Buffer
			if err := pack(&b, text); err != nil {
				return err
			}
			disguises[name] = append([]byte("0123"), b.Bytes()...)
		}
		for name, content := range disguises {
			path := filepath.Join(dir, "planted")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return err
			}
			hits, _, err := Files([]Canary{c}, path)
			if err != nil {
				return err
			}
			if len(hits) == 0 {
				return fmt.Errorf("the hunt misses the canary of %s written as %s", c.Field, name)
			}
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

var packers = map[string]func(*bytes.Buffer, []byte) error{
	"zstd": func(b *bytes.Buffer, text []byte) error {
		w, err := zstd.NewWriter(b)
		if err != nil {
			return err
		}
		return writeClose(w, text)
	},
	"gzip": func(b *bytes.Buffer, text []byte) error { return writeClose(gzip.NewWriter(b), text) },
	"zlib": func(b *bytes.Buffer, text []byte) error {
		w, err := zlib.NewWriterLevel(b, flate.BestCompression)
		if err != nil {
			return err
		}
		return writeClose(w, text)
	},
}

func writeClose(w io.WriteCloser, b []byte) error {
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.Close()
}
