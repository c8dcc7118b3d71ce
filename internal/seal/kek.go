package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// kekURI names the one kind of key-encryption key there is: a Tink keyset in a file beside the ring.
const kekURI = "file:kek"

func newKEK() (*keyset.Handle, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("couldn't make a key-encryption key: %w", err)
	}
	return h, nil
}

// addKEK returns the keyset with a fresh key as its primary.
func addKEK(h *keyset.Handle) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(h)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't make a new key-encryption key: %w", err)
	}
	return m.Handle()
}

// primaryOnly returns the keyset without its older keys.
func primaryOnly(h *keyset.Handle) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(h)
	for i := range h.Len() {
		e, err := h.Entry(i)
		if err == nil && !e.IsPrimary() {
			err = m.Delete(e.KeyID())
		}
		if err != nil {
			return nil, fmt.Errorf("couldn't drop an old key-encryption key: %w", err)
		}
	}
	return m.Handle()
}

func encodeKEK(h *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fmt.Errorf("couldn't encode the key-encryption key: %w", err)
	}
	return b.Bytes(), nil
}

func parseKEK(b []byte) (*keyset.Handle, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("the key-encryption key is no Tink keyset in JSON: %w", err)
	}
	return h, nil
}

// ringAAD binds a wrapped data key to its log and to the number of the ring.
func ringAAD(log steno.LogID, number uint64) []byte {
	b := append([]byte("steno/1 ring"), log[:]...)
	return binary.BigEndian.AppendUint64(b, number)
}

func kekAEAD(h *keyset.Handle) (tink.AEAD, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("couldn't use the key-encryption key: %w", err)
	}
	return a, nil
}

// replace writes a file anew and gives up the bytes of the old one, so that they are not found in a name that is no
// longer there. It is best effort against who has the disk: what makes them unreadable is that their key is gone.
func replace(fsys disk.FS, name string, data []byte) error {
	old, err := fsys.OpenAppend(name)
	if errors.Is(err, fs.ErrNotExist) {
		return disk.WriteFile(fsys, name, data)
	}
	if err != nil {
		return fmt.Errorf("couldn't open what is to be replaced: %w", err)
	}
	err = disk.WriteFile(fsys, name, data)
	if err != nil {
		_ = old.Close() // it may still be the one in force: nothing of it is touched
		return err
	}
	n, err := old.Size()
	if err == nil && n > 0 {
		err = old.PunchHole(0, n)
	}
	if err == nil {
		err = old.Sync()
	}
	if cerr := old.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return &wipeError{name, err}
	}
	return nil
}

// wipeError says that the new file is durable, but the bytes of the old one may still be on the disk.
type wipeError struct {
	name string
	err  error
}

func (e *wipeError) Error() string {
	return fmt.Sprintf("%s is replaced, but the old one's bytes couldn't be wiped: %v", e.name, e.err)
}

func (e *wipeError) Unwrap() error { return e.err }

func ringName(dir string) string { return filepath.Join(dir, "ring") }
func kekName(dir string) string  { return filepath.Join(dir, "kek") }
