package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"sync"
)

// A Verifier checks the header X-Shopline-Hmac-Sha256: the HMAC-SHA256 of the
// raw body, keyed with an app secret. It is safe for concurrent use.
//
// SHOPLINE's documents show the digest in base64 while its SDK and real
// deliveries use hex; both are accepted, hex in either case.
type Verifier struct {
	keys []*sync.Pool // one pool of keyed hashes per secret
}

// NewVerifier returns a verifier which accepts any of the secrets.
func NewVerifier(secrets []string) *Verifier {
	v := &Verifier{}
	for _, secret := range secrets {
		key := []byte(secret)
		v.keys = append(v.keys, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }})
	}
	return v
}

// Verify reports whether signature is the body's under one of the secrets. The
// time it takes depends on the body's length and the number of secrets alone.
func (v *Verifier) Verify(signature string, body []byte) bool {
	given, ok := decodeSignature(signature)
	if !ok {
		return false
	}
	valid := false
	var sum [sha256.Size]byte
	for _, pool := range v.keys {
		mac := pool.Get().(hash.Hash)
		mac.Reset()
		mac.Write(body)
		if hmac.Equal(mac.Sum(sum[:0]), given[:]) {
			valid = true
		}
		pool.Put(mac)
	}
	return valid
}

func decodeSignature(text string) (sum [sha256.Size]byte, ok bool) {
	switch len(text) {
	case hex.EncodedLen(sha256.Size):
		_, err := hex.Decode(sum[:], []byte(text))
		return sum, err == nil
	case base64.StdEncoding.EncodedLen(sha256.Size):
		// 44 characters may decode to 33 bytes when the padding is missing.
		var decoded [sha256.Size + 1]byte
		n, err := base64.StdEncoding.Strict().Decode(decoded[:], []byte(text))
		copy(sum[:], decoded[:])
		return sum, err == nil && n == sha256.Size
	default:
		return sum, false
	}
}
