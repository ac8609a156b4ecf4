package dashboards

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// options returns the options that a frame has, as the variable filters and
// sorts them.
func (v *Variable) options(f *frame) []Option {
	options := []Option{}
	seen := map[Option]bool{}
	for _, row := range f.Rows {
		o := Option{Value: optionText(row[0])}
		o.Text = o.Value
		if len(row) > 1 {
			o.Text = optionText(row[1])
		}
		if v.filter != nil {
			var ok bool
			if o, ok = filtered(v.filter, o); !ok {
				continue
			}
		}
		if !seen[o] && row[0] != nil {
			seen[o] = true
			options = append(options, o)
		}
	}
	v.sortOptions(options)
	return options
}

func optionText(cell any) string {
	if cell == nil {
		return ""
	}
	return fmt.Sprint(cell)
}

// filtered applies a variable's regular expression: groups named value and text,
// or else the first group, are what counts.
func filtered(filter *regexp.Regexp, o Option) (Option, bool) {
	m := filter.FindStringSubmatch(o.Text)
	if m == nil {
		return o, false
	}
	value, text := filter.SubexpIndex("value"), filter.SubexpIndex("text")
	switch {
	case value >= 0 && text >= 0:
		return Option{Value: m[value], Text: m[text]}, true
	case value >= 0:
		return Option{Value: m[value], Text: m[value]}, true
	case text >= 0:
		return Option{Value: m[text], Text: m[text]}, true
	case len(m) > 1:
		return Option{Value: m[1], Text: m[1]}, true
	}
	return o, true
}

// sortOptions sorts as the variable's key sort says: 0 not at all, then by
// letters, numbers, letters without case, and naturally, each up and down.
func (v *Variable) sortOptions(options []Option) {
	compare := func(a, b Option) int { return strings.Compare(a.Text, b.Text) }
	switch v.sort {
	case 0:
		return
	case 3, 4, 7, 8:
		compare = func(a, b Option) int { return compareNumbers(a.Text, b.Text) }
	case 5, 6:
		compare = func(a, b Option) int { return strings.Compare(strings.ToLower(a.Text), strings.ToLower(b.Text)) }
	}
	slices.SortStableFunc(options, func(a, b Option) int {
		if v.sort%2 == 0 {
			a, b = b, a
		}
		return compare(a, b)
	})
}

var firstNumber = regexp.MustCompile(`\d+`)

// compareNumbers compares by the first number in each, then by letters.
func compareNumbers(a, b string) int {
	n, errA := strconv.ParseFloat(firstNumber.FindString(a), 64)
	m, errB := strconv.ParseFloat(firstNumber.FindString(b), 64)
	switch {
	case errA != nil || errB != nil || n == m:
		return strings.Compare(a, b)
	case n < m:
		return -1
	default:
		return 1
	}
}
