package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// ErrSecret is returned for a wrapped secret that is another one's, of another log, or changed.
var ErrSecret = errors.New("the wrapped secret does not open: it belongs to another name or log, or its bytes were changed")

const maxSecret = 64 << 10

// WrapSecret encrypts a secret that is kept beside the ring, such as a provider's key, bound to its name and to this log.
// Its key is derived from one in the ring, not from the key-encryption key: that one is replaced whenever keys are destroyed.
func (k *Keys) WrapSecret(name string, secret []byte) ([]byte, error) {
	if len(secret) == 0 || len(secret) > maxSecret {
		return nil, fmt.Errorf("a secret has 1 to %d bytes, this one has %d", maxSecret, len(secret))
	}
	a, err := k.secretCipher()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcmNonce, gcmNonce+len(secret)+gcmTag)
	if _, err := io.ReadFull(k.random, nonce); err != nil {
		return nil, fmt.Errorf("couldn't draw a nonce: %w", err)
	}
	return a.Seal(nonce, nonce, secret, k.secretAAD(name)), nil
}

// UnwrapSecret opens what WrapSecret made under the same name.
func (k *Keys) UnwrapSecret(name string, wrapped []byte) ([]byte, error) {
	if len(wrapped) < gcmNonce+gcmTag || len(wrapped) > gcmNonce+maxSecret+gcmTag {
		return nil, ErrSecret
	}
	a, err := k.secretCipher()
	if err != nil {
		return nil, err
	}
	secret, err := a.Open(nil, wrapped[:gcmNonce], wrapped[gcmNonce:], k.secretAAD(name))
	if err != nil {
		return nil, ErrSecret
	}
	return secret, nil
}

func (k *Keys) secretCipher() (cipher.AEAD, error) {
	k.mu.RLock()
	key, err := hkdf.Key(sha256.New, k.ring.Credential, nil, "steno/1 wrapped secrets", 32)
	k.mu.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("couldn't derive the key of wrapped secrets: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (k *Keys) secretAAD(name string) []byte {
	return append(append([]byte("steno/1 secret\x00"), k.log[:]...), name...)
}
