package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// visible returns text from outside for a terminal: what cannot be printed, such
// as the escapes that move the cursor or turn the order of letters, is shown as
// Go writes it.
func visible(text string) string { return makeVisible(text, "") }

// visibleLines is visible for text of several lines.
func visibleLines(text string) string { return makeVisible(text, "\n\t") }

func makeVisible(text, keep string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// shorten is visible for a cell of a table.
func shorten(text string, most int) string {
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most-1]) + "…"
	}
	return visible(text)
}

// escapeJSON returns the same JSON with what cannot be printed as an escape. In
// JSON such characters stand only in strings, and as white space between tokens.
func escapeJSON(value []byte) []byte {
	escaped := make([]byte, 0, len(value))
	for _, r := range string(value) {
		switch {
		case unicode.IsPrint(r) || r == '\n' || r == '\t' || r == '\r':
			escaped = utf8.AppendRune(escaped, r)
		case r < 0x10000:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		}
	}
	return escaped
}
