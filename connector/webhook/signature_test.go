package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"loyaltyhouse/connector/webhook"
)

func digest(secret string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return mac.Sum(nil)
}

func signHex(secret string, body []byte) string { return hex.EncodeToString(digest(secret, body)) }

func signBase64(secret string, body []byte) string {
	return base64.StdEncoding.EncodeToString(digest(secret, body))
}

// The test vector of SHOPLINE's own Go SDK.
const (
	sdkSecret = "LDLLJJLflja2039203flaflaLLFLE"
	sdkBody   = `{"body_html":"BodyHtml","id":"32398389389389"}`
	sdkHex    = "edf64f4c46a9cb2c8aaa6c7034b77899aca1b63ad0c461901417a42b1cf139b0"
)

func TestVerify(t *testing.T) {
	sum, err := hex.DecodeString(sdkHex)
	if err != nil {
		t.Fatal(err)
	}
	base := base64.StdEncoding.EncodeToString(sum)
	tests := []struct {
		name      string
		secrets   []string
		signature string
		valid     bool
	}{
		{"hex", []string{sdkSecret}, sdkHex, true},
		{"hex in upper case", []string{sdkSecret}, strings.ToUpper(sdkHex), true},
		{"hex in mixed case", []string{sdkSecret}, strings.ToUpper(sdkHex[:30]) + sdkHex[30:], true},
		{"base64", []string{sdkSecret}, base, true},
		{"the older of two secrets", []string{"newer", sdkSecret}, sdkHex, true},
		{"the newer of two secrets", []string{sdkSecret, "older"}, base, true},
		{"no secret of these", []string{"one", "two"}, sdkHex, false},
		{"no secret at all", nil, sdkHex, false},
		{"a secret in another case", []string{strings.ToLower(sdkSecret)}, sdkHex, false},
		{"nothing", []string{sdkSecret}, "", false},
		{"hex cut short", []string{sdkSecret}, sdkHex[:62], false},
		{"hex and more", []string{sdkSecret}, sdkHex + "00", false},
		{"no hex digit", []string{sdkSecret}, "g" + sdkHex[1:], false},
		{"white space", []string{sdkSecret}, " " + sdkHex, false},
		{"a prefix", []string{sdkSecret}, "sha256=" + sdkHex, false},
		{"base64 without padding", []string{sdkSecret}, strings.TrimSuffix(base, "="), false},
		{"base64 with other bits behind its end", []string{sdkSecret}, base[:42] + "B=", false},
		{"base64 of 33 bytes", []string{sdkSecret}, base64.StdEncoding.EncodeToString(append(bytes.Clone(sum), 0)), false},
		{"base64 with a line feed", []string{sdkSecret}, base[:20] + "\n" + base[20:43], false},
		{"44 characters of no base64", []string{sdkSecret}, strings.Repeat("!", 44), false},
	}
	for _, test := range tests {
		if got := webhook.NewVerifier(test.secrets).Verify(test.signature, []byte(sdkBody)); got != test.valid {
			t.Errorf("%s: valid is %t, want %t", test.name, got, test.valid)
		}
	}
}

// TestVerifyEveryBit is the law of a signature: what was signed passes, and
// with any one bit changed it does not.
func TestVerifyEveryBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(rapid.StringN(1, 80, 200), 1, 3).Draw(t, "secrets")
		body := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "body")
		sum := digest(rapid.SampledFrom(secrets).Draw(t, "secret"), body)
		encode := rapid.SampledFrom([]func([]byte) string{hex.EncodeToString, base64.StdEncoding.EncodeToString}).Draw(t, "encode")
		verifier := webhook.NewVerifier(secrets)
		if !verifier.Verify(encode(sum), body) {
			t.Fatal("the signature of the body is refused")
		}
		bit := rapid.IntRange(0, 8*len(body)-1).Draw(t, "bit of the body")
		body[bit/8] ^= 1 << (bit % 8)
		if verifier.Verify(encode(sum), body) {
			t.Fatal("a changed body passes")
		}
		body[bit/8] ^= 1 << (bit % 8)
		bit = rapid.IntRange(0, 8*len(sum)-1).Draw(t, "bit of the signature")
		sum[bit/8] ^= 1 << (bit % 8)
		if verifier.Verify(encode(sum), body) {
			t.Fatal("a changed signature passes")
		}
	})
}

// FuzzVerifySignature holds that a header passes exactly when it is one of the
// two encodings of the right digest.
func FuzzVerifySignature(f *testing.F) {
	f.Add(sdkHex, []byte(sdkBody))
	f.Add(signBase64(sdkSecret, []byte(sdkBody)), []byte(sdkBody))
	f.Add(signHex("older", nil), []byte(nil))
	f.Add(strings.Repeat("=", 44), []byte("x"))
	secrets := []string{sdkSecret, "older"}
	verifier := webhook.NewVerifier(secrets)
	f.Fuzz(func(t *testing.T, signature string, body []byte) {
		want := false
		for _, secret := range secrets {
			want = want || strings.EqualFold(signature, signHex(secret, body)) && len(signature) == 64 || signature == signBase64(secret, body)
			if !verifier.Verify(signHex(secret, body), body) || !verifier.Verify(signBase64(secret, body), body) {
				t.Fatal("the signature of the body is refused")
			}
		}
		if got := verifier.Verify(signature, body); got != want {
			t.Fatalf("%q is valid: %t, want %t", signature, got, want)
		}
	})
}
