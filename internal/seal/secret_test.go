package seal

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/steno-audit/steno/internal/disk"
)

func TestWrapSecret(t *testing.T) {
	fs := disk.NewMem()
	k, err := Create(fs, "/a.keys", "steno.test/a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("a provider's key")
	w, err := k.WrapSecret("openai", secret)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(w, secret) {
		t.Error("it is not encrypted")
	}
	if again, _ := k.WrapSecret("openai", secret); bytes.Equal(again, w) {
		t.Error("twice the same secret looks the same")
	}
	// A destruction replaces the key-encryption key; what is wrapped must outlive it.
	if err := k.NewKEK(); err != nil {
		t.Fatal(err)
	}
	if k, err = Open(fs, "/a.keys", "steno.test/a"); err != nil {
		t.Fatal(err)
	}
	if got, err := k.UnwrapSecret("openai", w); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("opened %q: %v", got, err)
	}
	other, err := Create(disk.NewMem(), "/b.keys", "steno.test/b", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.UnwrapSecret("openai", w); !errors.Is(err, ErrSecret) {
		t.Errorf("another log opens it: %v", err)
	}
	if _, err := k.UnwrapSecret("anthropic", w); !errors.Is(err, ErrSecret) {
		t.Errorf("another name opens it: %v", err)
	}
	for i := range w {
		bad := bytes.Clone(w)
		bad[i] ^= 1
		if _, err := k.UnwrapSecret("openai", bad); !errors.Is(err, ErrSecret) {
			t.Fatalf("with byte %d changed: %v", i, err)
		}
		if _, err := k.UnwrapSecret("openai", w[:i]); !errors.Is(err, ErrSecret) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	for _, n := range []int{0, maxSecret + 1} {
		if _, err := k.WrapSecret("x", make([]byte, n)); err == nil {
			t.Errorf("a secret of %d bytes is wrapped", n)
		}
	}
}
