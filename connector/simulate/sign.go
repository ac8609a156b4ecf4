package simulate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// Encoding is how the 32 bytes of a signature are written in the header.
type Encoding string

// Both encodings are in use: SHOPLINE's documents show base64, its own Go SDK
// and captured deliveries have 64 hex digits.
const (
	EncodingHex    Encoding = "hex"
	EncodingBase64 Encoding = "base64"
)

// Sign returns the HMAC-SHA256 of the raw body, keyed with the app secret, in
// the given encoding; hex unless it is EncodingBase64.
func Sign(secret, body []byte, encoding Encoding) string {
	if encoding == EncodingBase64 {
		return SignBase64(secret, body)
	}
	return SignHex(secret, body)
}

// SignHex returns the HMAC-SHA256 of the raw body as 64 lower-case hex digits.
func SignHex(secret, body []byte) string {
	return hex.EncodeToString(sum(secret, body))
}

// SignBase64 returns the HMAC-SHA256 of the raw body in standard base64.
func SignBase64(secret, body []byte) string {
	return base64.StdEncoding.EncodeToString(sum(secret, body))
}

func sum(secret, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return mac.Sum(nil)
}
