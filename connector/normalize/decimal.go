package normalize

import "errors"

// What parseDecimal can find wrong.
var (
	errSyntax   = errors.New("not a decimal number")
	errFraction = errors.New("not a whole number")
	errTooBig   = errors.New("beyond the largest 64-bit integer")
	errTooSmall = errors.New("beyond the smallest 64-bit integer")
)

// parseDecimal returns text × 10^scale exactly. Text has the grammar of a JSON
// number, with leading zeros and a leading + allowed, since numbers come as
// text too. It needs no memory, however large an exponent is.
func parseDecimal(text []byte, scale int) (int64, error) {
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	// The number is digits × 10^exponent; zeros that trail are counted, not
	// multiplied, until a digit follows them.
	var digits uint64
	exponent, zeros := scale, 0
	seen, point, tooBig := false, false, false
	i := 0
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point && seen {
			point, seen = true, false
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen = true
		if point {
			exponent--
		}
		if c == '0' {
			if digits > 0 {
				zeros++
			}
			continue
		}
		for ; zeros >= 0 && !tooBig; zeros-- {
			digits, tooBig = timesTen(digits)
		}
		zeros = 0
		digits += uint64(c - '0')
		tooBig = tooBig || digits > 1<<63
	}
	if !seen {
		return 0, errSyntax
	}
	exponent += zeros
	if i < len(text) {
		e, ok := parseExponent(text[i:])
		if !ok {
			return 0, errSyntax
		}
		exponent += e
	}
	if digits > 0 && exponent < 0 {
		return 0, errFraction
	}
	for ; digits > 0 && exponent > 0 && !tooBig; exponent-- {
		digits, tooBig = timesTen(digits)
	}
	switch {
	case negative && (tooBig || digits > 1<<63):
		return 0, errTooSmall
	case negative:
		return -int64(digits), nil // 1<<63 becomes math.MinInt64, as it should.
	case tooBig || digits > 1<<63-1:
		return 0, errTooBig
	}
	return int64(digits), nil
}

func timesTen(n uint64) (product uint64, tooBig bool) {
	if n > (1<<63)/10 {
		return n, true
	}
	return n * 10, false
}

// parseExponent reads e, sign and digits. An exponent beyond any body's length
// is cut to one that has the same effect.
func parseExponent(text []byte) (int, bool) {
	if len(text) < 2 || (text[0] != 'e' && text[0] != 'E') {
		return 0, false
	}
	text = text[1:]
	sign := 1
	if text[0] == '-' || text[0] == '+' {
		if text[0] == '-' {
			sign = -1
		}
		text = text[1:]
	}
	if len(text) == 0 {
		return 0, false
	}
	const limit = 1 << 40
	e := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		if e < limit {
			e = e*10 + int(c-'0')
		}
	}
	return sign * e, true
}
