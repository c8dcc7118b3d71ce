package index

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/steno-audit/steno/internal/disk"
)

// A sealed file:
//
//	0 "STENOIDX" | 8 version u8 = 1 | 9 table u8 | 10 zero ×2 | 12 day key u32 | 16 file id 16 | 32 plain length u64
//	40 chunk … chunk    each ciphertext ‖ tag 16, of 65,536 bytes of plaintext, the last of what is left
//
// AES-256-GCM under HKDF(the day's table key, salt = file id, "steno/1 table"), nonce 0^4 ‖ chunk number u64, AAD the
// 40 bytes of the header. The file id is random, so that no key is ever used for two files.
const (
	sealedHeader = 40
	chunkPlain   = 64 << 10
	chunkSealed  = chunkPlain + 16
	cachedChunks = 256 // of all files together
	maxPlain     = 1 << 32
)

var sealedMagic = [8]byte{'S', 'T', 'E', 'N', 'O', 'I', 'D', 'X'}

// table is what a file holds.
type table uint8

const (
	tableExchanges table = 1 + iota
	tableEvents
	tableNames
	tableManifest
)

func (t table) String() string {
	return [...]string{"", "exchanges", "events", "names", "manifest"}[t]
}

// key is the name of the day's key that seals the table.
func (t table) key() string {
	if t == tableNames {
		return "names"
	}
	return "index"
}

// errDamaged says that a file is not what was written. It is never an operator's problem: the index is built again.
var errDamaged = errors.New("the file is damaged")

// tableKeys returns the key of one day's table.
type tableKeys func(day uint32, table string) ([32]byte, error)

func (k tableKeys) cipher(header []byte) (cipher.AEAD, error) {
	day, t := binary.BigEndian.Uint32(header[12:]), table(header[9])
	key, err := k(day, t.key())
	if err != nil {
		return nil, err
	}
	sub, err := hkdf.Key(sha256.New, key[:], header[16:32], "steno/1 table", 32)
	if err != nil {
		return nil, err
	}
	b, err := aes.NewCipher(sub)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

func chunkNonce(n int64) []byte {
	var nonce [12]byte
	binary.BigEndian.PutUint64(nonce[4:], uint64(n))
	return nonce[:]
}

// sealFile returns the sealed form of a file.
func (k tableKeys) sealFile(t table, day uint32, plain []byte) ([]byte, error) {
	chunks := (len(plain) + chunkPlain - 1) / chunkPlain
	out := make([]byte, sealedHeader, sealedHeader+len(plain)+16*chunks)
	copy(out, sealedMagic[:])
	out[8], out[9] = 1, byte(t)
	binary.BigEndian.PutUint32(out[12:], day)
	if _, err := rand.Read(out[16:32]); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint64(out[32:], uint64(len(plain)))
	header := out[:sealedHeader:sealedHeader]
	aead, err := k.cipher(header)
	if err != nil {
		return nil, err
	}
	for n := range chunks {
		c := plain[n*chunkPlain : min((n+1)*chunkPlain, len(plain))]
		out = aead.Seal(out, chunkNonce(int64(n)), c, header)
	}
	return out, nil
}

// sealedFile reads a sealed file. Its ReadAt may be called concurrently.
type sealedFile struct {
	file   disk.File
	name   string
	header [sealedHeader]byte
	aead   cipher.AEAD
	size   int64 // of the plaintext

	cache *chunkCache
}

// chunkCache holds the chunks of all files that were read last.
type chunkCache struct {
	mu    sync.Mutex
	clock uint64
	all   map[chunkName]*chunk
}

type chunkName struct {
	of *sealedFile
	n  int64
}

type chunk struct {
	plain []byte
	used  uint64
}

func (c *chunkCache) get(name chunkName) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.all[name]
	if x == nil {
		return nil
	}
	c.clock++
	x.used = c.clock
	return x.plain
}

func (c *chunkCache) put(name chunkName, plain []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= cachedChunks {
		var oldest chunkName
		least := ^uint64(0)
		for n, x := range c.all {
			if x.used < least {
				oldest, least = n, x.used
			}
		}
		delete(c.all, oldest)
	}
	c.clock++
	c.all[name] = &chunk{plain, c.clock}
}

// drop forgets the chunks of a file.
func (c *chunkCache) drop(of *sealedFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.all {
		if n.of == of {
			delete(c.all, n)
		}
	}
}

// openSealed opens a file and checks that it is one of that table. It reads no chunk.
func (k tableKeys) openSealed(fsys disk.FS, cache *chunkCache, name string, t table) (*sealedFile, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	s := &sealedFile{file: f, name: name, cache: cache}
	if err := s.open(k, t); err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

func (s *sealedFile) open(k tableKeys, t table) error {
	if n, err := s.file.ReadAt(s.header[:], 0); n < sealedHeader {
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return fmt.Errorf("%s: %w: it ends within its header", s.name, errDamaged)
	}
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	plain := binary.BigEndian.Uint64(s.header[32:])
	switch {
	case [8]byte(s.header[:8]) != sealedMagic || s.header[8] != 1 || table(s.header[9]) != t:
		return fmt.Errorf("%s: %w: its header is not that of a table of %s", s.name, errDamaged, t)
	case plain == 0 || plain > maxPlain || size != sealedSize(int64(plain)):
		return fmt.Errorf("%s: %w: it has %d bytes for a plaintext of %d", s.name, errDamaged, size, plain)
	}
	s.size = int64(plain)
	s.aead, err = k.cipher(s.header[:])
	return err
}

func sealedSize(plain int64) int64 {
	return sealedHeader + plain + 16*((plain+chunkPlain-1)/chunkPlain)
}

// day returns the number of the day key.
func (s *sealedFile) day() uint32 { return binary.BigEndian.Uint32(s.header[12:]) }

func (s *sealedFile) Close() error {
	s.cache.drop(s)
	return s.file.Close()
}

// ReadAt reads plaintext.
func (s *sealedFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%s: a negative offset", s.name)
	}
	n := 0
	for n < len(p) && off < s.size {
		c, err := s.chunk(off / chunkPlain)
		if err != nil {
			return n, err
		}
		k := copy(p[n:], c[off%chunkPlain:])
		n, off = n+k, off+int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *sealedFile) chunk(n int64) ([]byte, error) {
	if c := s.cache.get(chunkName{s, n}); c != nil {
		return c, nil
	}
	buf := make([]byte, min(chunkPlain, s.size-n*chunkPlain)+16)
	if k, err := s.file.ReadAt(buf, sealedHeader+n*chunkSealed); k < len(buf) {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("couldn't read %s: %w", s.name, err)
		}
		return nil, fmt.Errorf("%s: %w: it ends within chunk %d", s.name, errDamaged, n)
	}
	plain, err := s.aead.Open(buf[:0], chunkNonce(n), buf, s.header[:])
	if err != nil {
		return nil, fmt.Errorf("%s: %w: chunk %d does not open", s.name, errDamaged, n)
	}
	s.cache.put(chunkName{s, n}, plain)
	return plain, nil
}
