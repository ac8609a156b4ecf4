package normalize

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseDecimal(t *testing.T) {
	tests := []struct {
		text  string
		scale int
		want  int64
		err   error
	}{
		{text: "0"},
		{text: "-0"},
		{text: "+0"},
		{text: "000"},
		{text: "0.000"},
		{text: "0e999999999999999999999"},
		{text: "0.0e-999999999999999999999"},
		{text: "1000", want: 1000},
		{text: "+1000", want: 1000},
		{text: "-1000", want: -1000},
		{text: "0001000", want: 1000},
		{text: "1000.0", want: 1000},
		{text: "1000.000000000000000000000000000000", want: 1000},
		{text: "1e3", want: 1000},
		{text: "1E+3", want: 1000},
		{text: "10000e-1", want: 1000},
		{text: "0.001e6", want: 1000},
		{text: "1.5e1", want: 15},
		{text: "100200300", want: 100200300},
		{text: "1" + strings.Repeat("0", 40) + "e-40", want: 1},
		{text: "0." + strings.Repeat("0", 40) + "1e41", want: 1},
		{text: strings.Repeat("0", 1<<20) + "7", want: 7},
		{text: "9007199254740993", want: 9007199254740993},
		{text: "9007199254740993.0", want: 9007199254740993},
		{text: "9223372036854775807", want: math.MaxInt64},
		{text: "-9223372036854775808", want: math.MinInt64},
		{text: "-9223372036854775808.00", want: math.MinInt64},
		{text: "922337203685477580.7e1", want: math.MaxInt64},
		{text: "9223372036854775808", err: errTooBig},
		{text: "-9223372036854775809", err: errTooSmall},
		{text: "18446744073709551616", err: errTooBig},
		{text: "99999999999999999999999999", err: errTooBig},
		{text: "1e19", err: errTooBig},
		{text: "1e999999999", err: errTooBig},
		{text: "-1e99999999999999999999999999", err: errTooSmall},
		{text: "1e" + strings.Repeat("9", 1<<20), err: errTooBig},
		{text: strings.Repeat("9", 1<<20), err: errTooBig},
		{text: "1e-999999999", err: errFraction},
		{text: "1.5", err: errFraction},
		{text: "0.1", err: errFraction},
		{text: "1e-1", err: errFraction},
		{text: "99999999999999999999.5", err: errFraction},
		{text: "0." + strings.Repeat("0", 1<<20) + "1", err: errFraction},

		{text: "0", scale: 2, want: 0},
		{text: "12", scale: 2, want: 1200},
		{text: "12.5", scale: 2, want: 1250},
		{text: "12.50", scale: 2, want: 1250},
		{text: "12.500000", scale: 2, want: 1250},
		{text: "-0.01", scale: 2, want: -1},
		{text: "1e-2", scale: 2, want: 1},
		{text: "92233720368547758.07", scale: 2, want: math.MaxInt64},
		{text: "-92233720368547758.08", scale: 2, want: math.MinInt64},
		{text: "92233720368547758.08", scale: 2, err: errTooBig},
		{text: "12.345", scale: 2, err: errFraction},
		{text: "0.001", scale: 2, err: errFraction},
	}
	for _, text := range []string{
		"", "-", "+", "--1", "+-1", ".", ".5", "5.", "1.2.3", "1..2", "e", "e5", "1e", "1e+", "1e-", "1e1.5", "1e1e1",
		"-.5", " 1", "1 ", "1,000", "1_000", "0x10", "Infinity", "NaN", "null", "١", "1\x00", "1e5 ",
	} {
		tests = append(tests, struct {
			text  string
			scale int
			want  int64
			err   error
		}{text: text, err: errSyntax})
	}
	for _, test := range tests {
		got, err := parseDecimal([]byte(test.text), test.scale)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%.60q × 10^%d is %d, %v; want %d, %v", test.text, test.scale, got, err, test.want, test.err)
		}
	}
}

// exactly is parseDecimal as mathematics defines it.
func exactly(text string, scale int) (int64, error) {
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, errSyntax
	}
	value.Mul(value, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	switch {
	case !value.IsInt():
		return 0, errFraction
	case value.Num().IsInt64():
		return value.Num().Int64(), nil
	case value.Sign() < 0:
		return 0, errTooSmall
	default:
		return 0, errTooBig
	}
}

func TestParseDecimalIsExact(t *testing.T) {
	near := rapid.Map(rapid.Int64Range(-20, 20), func(n int64) string {
		limit := new(big.Int).SetUint64(1 << 63)
		if n < 0 {
			limit.Neg(limit)
		}
		return limit.Add(limit, big.NewInt(n)).String()
	})
	integers := rapid.OneOf(
		near,
		rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }),
		rapid.StringMatching(`[-+]?0{0,3}[0-9]{1,25}`),
		rapid.StringMatching(`[-+]?[1-9][0-9]{0,3}0{0,25}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := integers.Draw(t, "integer")
		text += rapid.OneOf(rapid.Just(""), rapid.StringMatching(`\.[0-9]{1,5}`), rapid.StringMatching(`\.0{1,25}`), rapid.StringMatching(`\.[0-9]0{0,20}`)).Draw(t, "fraction")
		text += rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[eE][-+]?0{0,2}[0-9]{1,2}`)).Draw(t, "exponent")
		scale := rapid.SampledFrom([]int{0, 2}).Draw(t, "scale")
		got, err := parseDecimal([]byte(text), scale)
		want, wantErr := exactly(text, scale)
		if got != want || !errors.Is(err, wantErr) {
			t.Fatalf("%s × 10^%d is %d, %v; want %d, %v", text, scale, got, err, want, wantErr)
		}
	})
}

// FuzzParseDecimal holds that what is taken for a number is one, and exact.
func FuzzParseDecimal(f *testing.F) {
	for _, text := range []string{"0", "-12.50", "1e3", "9223372036854775808", "1e-2", "+007", "1e999999999", "."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, scale := range []int{0, 2} {
			got, err := parseDecimal([]byte(text), scale)
			if err != nil && got != 0 {
				t.Fatalf("%q gives %d and %v", text, got, err)
			}
			// math/big would need as much memory as a large exponent says.
			_, exponent, found := strings.Cut(strings.ToLower(text), "e")
			if n, convErr := strconv.Atoi(exponent); found && (convErr != nil || n < -1000 || n > 1000) || errors.Is(err, errSyntax) {
				continue
			}
			if want, wantErr := exactly(text, scale); got != want || !errors.Is(err, wantErr) {
				t.Fatalf("%q × 10^%d is %d, %v; want %d, %v", text, scale, got, err, want, wantErr)
			}
		}
	})
}

func BenchmarkParseDecimal(b *testing.B) {
	text := []byte("1721829526566")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseDecimal(text, 0); err != nil {
			b.Fatal(err)
		}
	}
}
