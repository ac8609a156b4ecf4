package httpsink

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"loyaltyhouse/sinks"
)

// leastKey is the shortest key that Standard Webhooks allows, in bytes.
const leastKey = 24

// keyOf returns the key of a secret: whsec_ and base64, as Standard Webhooks
// writes it, or any other text, whose bytes are the key.
func keyOf(secret string) ([]byte, error) {
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("must be base64 after whsec_")
		}
	}
	if len(key) < leastKey {
		return nil, fmt.Errorf("must hold at least %d bytes, has %d", leastKey, len(key))
	}
	return key, nil
}

// messageID names the batch for the receiver: the same for every try of it, by
// any process (invariant 4). It has no characters but letters, digits and _.
func messageID(sink string, b *sinks.Batch) string {
	sum := sha256.Sum256([]byte(sink + "/" + b.Table.Name + "/" + b.Token()))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// sign returns the headers webhook-timestamp and webhook-signature, with one
// signature for each key.
//
// Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func sign(keys [][]byte, id string, at time.Time, body []byte) (timestamp, signature string) {
	timestamp = strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return timestamp, strings.Join(signatures, " ")
}
