package normalize

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestEventIDGolden pins the identity of an event. Rows that are stored have
// it, so that it can never change.
func TestEventIDGolden(t *testing.T) {
	const canonical = `{"a":"ü","b":[1,2.5,true,null],"n":1000}`
	sum := sha256.Sum256([]byte(canonical))
	want, err := uuid.FromBytes(sum[:16])
	if err != nil {
		t.Fatal(err)
	}
	id, valid := EventID([]byte(` { "n" : 1e3, "b":[1.0, 2.50, true, null], "a":"\u00fc" } `))
	if !valid || id != want || id.String() != "7cfb3a97-d044-6006-8d46-47fbe879359c" {
		t.Errorf("the id is %s, valid %t, want %s", id, valid, want)
	}
}

func TestEventIDIsOfTheEvent(t *testing.T) {
	tests := []struct {
		name string
		a, b string
		same bool
	}{
		{"order of names", `{"a":1,"b":{"c":2,"d":3}}`, `{"b":{"d":3,"c":2},"a":1}`, true},
		{"white space", `{"a":[1,2]}`, " {\n\t\"a\" : [ 1 , 2 ] }\r\n", true},
		{"escapes", `{"a":"ü/"}`, `{"\u0061":"\u00FC\/"}`, true},
		{"1000 and 1000.0", `{"a":1000}`, `{"a":1000.0}`, true},
		{"1000 and 1e3", `{"a":1000}`, `{"a":1e3}`, true},
		{"0 and -0", `{"a":0}`, `{"a":-0}`, true},
		{"order of a list", `{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{"a number and its text", `{"a":1}`, `{"a":"1"}`, false},
		{"null and nothing", `{"a":null}`, `{}`, false},
		{"case", `{"a":"x"}`, `{"a":"X"}`, false},
		{"integers that one double stands for", `{"a":9007199254740993}`, `{"a":9007199254740992}`, false},
		{"ids of 26 digits", `{"a":12345678901234567890123456}`, `{"a":12345678901234567890123457}`, false},
	}
	for _, test := range tests {
		a, validA := EventID([]byte(test.a))
		b, validB := EventID([]byte(test.b))
		if !validA || !validB || (a == b) != test.same {
			t.Errorf("%s: same is %t, want %t", test.name, a == b, test.same)
		}
	}
}

// TestEventIDOfBytes holds that a body without a canonical form still has an id.
func TestEventIDOfBytes(t *testing.T) {
	seen := map[uuid.UUID]string{}
	for _, body := range []string{"", " ", "{", "{ ", `{"a":1,"a":1}`, `{"a":1,"a":2}`, "\xff", "\xfe", `{"a":1}{}`, `{"a":1} {}`, `{"a":"` + "\xff" + `"}`, strings.Repeat("[", 20000)} {
		id, valid := EventID([]byte(body))
		sum := sha256.Sum256([]byte(body))
		if valid || [16]byte(id) != [16]byte(sum[:16]) {
			t.Errorf("%.20q: id %s, valid %t, want the hash of the bytes", body, id, valid)
		}
		if other, twice := seen[id]; twice {
			t.Errorf("%.20q and %.20q share an id", body, other)
		}
		seen[id] = body
	}
}

// TestEventIDLeavesTheBody holds that the body that will be stored is not touched.
func TestEventIDLeavesTheBody(t *testing.T) {
	const text = `{ "b":1, "a":2 }`
	body := []byte(text)
	EventID(body)
	if string(body) != text {
		t.Errorf("the body became %s", body)
	}
}
