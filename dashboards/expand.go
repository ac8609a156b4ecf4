package dashboards

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Range is the time that a query looks at.
type Range struct {
	From, To time.Time
	// Interval is the step of time series; see Panel.Interval.
	Interval time.Duration
}

// A NeedsOptionsError tells that All is chosen of a variable that a query names
// outside $__conditionalAll, so that its value must name the options.
type NeedsOptionsError struct{ Variable string }

func (e *NeedsOptionsError) Error() string {
	return fmt.Sprintf("All of the variable %s stands outside $__conditionalAll, which needs all its options", e.Variable)
}

// Expand returns the query with its macros and variables replaced, as Grafana
// and its ClickHouse data source (github.com/grafana/clickhouse-datasource) do
// it: $__conditionalAll, then variables, then the other macros.
//
// It is stricter in what protects the query from values, for these come from a
// browser and the query does not:
//   - A value that is not in the dashboard's file must be written with
//     ${name:sqlstring} or ${name:singlequote}, or be one of several values, which
//     are quoted always. It must not stand in quotes, nor touch them.
//   - A backslash in a value is escaped, for ClickHouse knows escapes in strings;
//     Grafana leaves it.
//   - Values and comments are not looked at for macros and variables.
//   - What looks like a macro or a variable and is none is an error.
func (d *Dashboard) Expand(sql string, r Range, values Values) (string, error) {
	for name := range values {
		if d.variable(name) == nil {
			return "", fmt.Errorf("the dashboard has no variable %q", name)
		}
	}
	if !r.From.Before(r.To) {
		return "", errors.New("the time range ends before it begins")
	}
	e := expansion{dashboard: d, r: r, values: values}
	return e.expand(sql)
}

type expansion struct {
	dashboard *Dashboard
	r         Range
	values    Values
}

// What follows a dollar sign or two brackets.
var (
	macroForm    = regexp.MustCompile(`^\$__(\w+)`)
	bracesForm   = regexp.MustCompile(`^\$\{(\w+)(?::([^{}]*))?\}`)
	bracketsForm = regexp.MustCompile(`^\[\[([A-Za-z_]\w*)(?::(\w+))?\]\]`)
	bareForm     = regexp.MustCompile(`^\$([A-Za-z]\w*)`)
)

// expand replaces what a piece of a query names. A piece begins outside quotes.
func (e *expansion) expand(sql string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(sql); {
		end := skipQuoted(sql, i)
		switch {
		case end > i && isComment(sql[i:]):
			out.WriteString(sql[i:end])
			i = end
		case end > i:
			text, err := e.expandQuoted(sql[i:end])
			if err != nil {
				return "", err
			}
			out.WriteString(text)
			i = end
		default:
			text, length, err := e.reference(sql, i, false)
			if err != nil {
				return "", err
			}
			out.WriteString(text)
			i += length
		}
	}
	return out.String(), nil
}

// expandQuoted is expand for a string or a quoted name.
func (e *expansion) expandQuoted(quoted string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(quoted); {
		text, length, err := e.reference(quoted, i, true)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
		i += length
	}
	return out.String(), nil
}

// reference returns what the macro or variable at i becomes, and how long it
// is; other text is returned byte by byte.
func (e *expansion) reference(sql string, i int, inQuotes bool) (text string, length int, err error) {
	rest := sql[i:]
	if rest[0] != '$' && rest[0] != '[' {
		return rest[:1], 1, nil
	}
	if m := macroForm.FindStringSubmatch(rest); m != nil {
		return e.macro(rest, m[1])
	}
	for _, form := range []*regexp.Regexp{bracesForm, bracketsForm, bareForm} {
		m := form.FindStringSubmatch(rest)
		if m == nil {
			continue
		}
		format := ""
		if len(m) > 2 {
			format = m[2]
		}
		if name, ok := strings.CutPrefix(m[1], "__"); ok {
			text, err = e.builtin(name, format)
			return text, len(m[0]), err
		}
		v := e.dashboard.variable(m[1])
		if v == nil {
			return "", 0, fmt.Errorf("%s: the dashboard has no such variable", m[0])
		}
		text, trusted, err := e.format(v, format)
		if err != nil {
			return "", 0, fmt.Errorf("%s: %w", m[0], err)
		}
		if !trusted && (inQuotes || touchesQuote(sql, i, i+len(m[0]))) {
			return "", 0, fmt.Errorf("%s stands in quotes or touches them; it brings its own", m[0])
		}
		return text, len(m[0]), nil
	}
	if strings.HasPrefix(rest, "${") {
		return "", 0, fmt.Errorf("%.40q is not a variable", rest)
	}
	return rest[:1], 1, nil
}

// touchesQuote tells whether sql[from:to] would join what stands beside it: two
// strings side by side are one string with a quote in it, and a letter before a
// string can change what the string means.
func touchesQuote(sql string, from, to int) bool {
	joins := func(c byte) bool {
		return c == '\'' || c == '"' || c == '`' || c == '\\' || c == '$' || c >= 0x80 || isWord(c)
	}
	return from > 0 && joins(sql[from-1]) || to < len(sql) && joins(sql[to])
}

// format returns the value of a variable in one of Grafana's formats. It is
// trusted where all of it comes from the dashboard's file.
func (e *expansion) format(v *Variable, format string) (text string, trusted bool, err error) {
	if v.Type == SourceVariable {
		return "", false, errors.New("a data source has no value in a query")
	}
	value, err := v.value(e.values)
	if err != nil {
		return "", false, err
	}
	if value.All && v.AllValue != "" {
		return v.AllValue, true, nil
	}
	if value.All && len(value.Texts) == 0 {
		return "", false, &NeedsOptionsError{v.Name}
	}
	switch format {
	case "sqlstring":
		return quoteAll(value.Texts, `'`, `''`), false, nil
	case "singlequote":
		return quoteAll(value.Texts, `'`, `\'`), false, nil
	case "":
		if v.Multi || value.All {
			return quoteAll(value.Texts, `'`, `\'`), false, nil
		}
	}
	if !v.closed() {
		return "", false, fmt.Errorf("its value comes from outside; write ${%s:sqlstring}", v.Name)
	}
	switch format {
	case "", "raw", "csv":
		return strings.Join(value.Texts, ","), true, nil
	case "pipe":
		return strings.Join(value.Texts, "|"), true, nil
	case "doublequote":
		return quoteAll(value.Texts, `"`, `\"`), true, nil
	case "text":
		return strings.Join(v.names(value.Texts), " + "), true, nil
	}
	return "", false, fmt.Errorf("the format %q is not known", format)
}

// names returns how the options with these values are called.
func (v *Variable) names(values []string) []string {
	names := slices.Clone(values)
	for i := range names {
		for _, o := range v.Options {
			if o.Value == names[i] {
				names[i] = o.Text
				break
			}
		}
	}
	return names
}

func quoteAll(values []string, quote, escaped string) string {
	escape := strings.NewReplacer(`\`, `\\`, quote, escaped)
	quoted := make([]string, len(values))
	for i, value := range values {
		quoted[i] = quote + escape.Replace(value) + quote
	}
	return strings.Join(quoted, ",")
}

// builtin returns Grafana's own variables, named without the underscores.
func (e *expansion) builtin(name, format string) (string, error) {
	switch name {
	case "interval":
		return formatInterval(e.interval()), nil
	case "interval_ms":
		return strconv.FormatInt(e.interval().Milliseconds(), 10), nil
	case "from":
		return formatTime(e.r.From, format)
	case "to":
		return formatTime(e.r.To, format)
	}
	return "", fmt.Errorf("$__%s is not known", name)
}

func (e *expansion) interval() time.Duration { return max(e.r.Interval, time.Millisecond) }

// momentTokens are the parts of a time in the words of moment.js, whose formats
// Grafana takes; longer ones first.
var momentTokens = strings.NewReplacer("YYYY", "2006", "MM", "01", "DD", "02", "HH", "15", "mm", "04", "ss", "05", "SSS", "000")

// formatTime writes a time as ${__from:date:format} does.
func formatTime(t time.Time, format string) (string, error) {
	t = t.UTC()
	const iso = "2006-01-02T15:04:05.000Z"
	switch format {
	case "":
		return strconv.FormatInt(t.UnixMilli(), 10), nil
	case "date", "date:iso":
		return t.Format(iso), nil
	case "date:seconds":
		return strconv.FormatInt(t.Unix(), 10), nil
	}
	layout, ok := strings.CutPrefix(format, "date:")
	if !ok {
		return "", fmt.Errorf("the format %q of a time is not known", format)
	}
	return t.Format(momentTokens.Replace(layout)), nil
}

// macro returns what the macro at the beginning of sql becomes.
func (e *expansion) macro(sql, name string) (text string, length int, err error) {
	length = len("$__") + len(name)
	var args []string
	if length < len(sql) && sql[length] == '(' && takesArguments(name) {
		args, length, err = arguments(sql, length)
		if err != nil {
			return "", 0, fmt.Errorf("$__%s: %w", name, err)
		}
	}
	if name == "conditionalAll" {
		text, err = e.conditionalAll(args)
	} else {
		for i := range args {
			if args[i], err = e.expand(args[i]); err != nil {
				return "", 0, err
			}
		}
		text, err = e.timeMacro(name, args)
	}
	if err != nil {
		return "", 0, fmt.Errorf("$__%s: %w", name, err)
	}
	return text, length, nil
}

// takesArguments tells the macros from Grafana's own variables, which a
// parenthesis may follow.
func takesArguments(name string) bool {
	return !slices.Contains([]string{"interval", "interval_ms", "from", "to"}, name)
}

// conditionalAll drops a condition where All is chosen of the variable, or
// nothing.
func (e *expansion) conditionalAll(args []string) (string, error) {
	if len(args) != 2 {
		return "", fmt.Errorf("takes a condition and a variable, has %d arguments", len(args))
	}
	name := strings.Trim(strings.TrimSpace(args[1]), "${}")
	v := e.dashboard.variable(name)
	if v == nil {
		return "", fmt.Errorf("the dashboard has no variable %q", name)
	}
	value, err := v.value(e.values)
	if err != nil {
		return "", err
	}
	if value.All || strings.Join(value.Texts, ",") == "" {
		return "1=1", nil
	}
	return e.expand(args[0])
}

// timeMacro expands the macros of the range and the interval.
func (e *expansion) timeMacro(name string, args []string) (string, error) {
	from, to := e.r.From.UTC(), e.r.To.UTC()
	between := func(column string, write func(time.Time) string) string {
		return fmt.Sprintf("%s >= %s AND %s <= %s", column, write(from), column, write(to))
	}
	want := 0
	switch name {
	case "timeFilter", "timeFilter_ms", "dateFilter", "timeInterval", "timeInterval_ms":
		want = 1
	case "dateTimeFilter", "dt":
		want = 2
	}
	if len(args) != want {
		return "", fmt.Errorf("takes %d arguments, has %d", want, len(args))
	}
	switch name {
	case "fromTime":
		return seconds(from), nil
	case "toTime":
		return seconds(to), nil
	case "fromTime_ms":
		return milliseconds(from), nil
	case "toTime_ms":
		return milliseconds(to), nil
	case "timeFilter":
		return between(args[0], seconds), nil
	case "timeFilter_ms":
		return between(args[0], milliseconds), nil
	case "dateFilter":
		return between(args[0], date), nil
	case "dateTimeFilter", "dt":
		return fmt.Sprintf("(%s) AND (%s)", between(args[0], date), between(args[1], seconds)), nil
	case "timeInterval":
		return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", args[0], e.wholeSeconds()), nil
	case "timeInterval_ms":
		return fmt.Sprintf("toStartOfInterval(toDateTime64(%s, 3), INTERVAL %d millisecond)", args[0], e.interval().Milliseconds()), nil
	case "interval_s":
		return strconv.FormatInt(e.wholeSeconds(), 10), nil
	}
	return e.builtin(name, "")
}

func (e *expansion) wholeSeconds() int64 { return max(int64(e.r.Interval/time.Second), 1) }

func seconds(t time.Time) string { return fmt.Sprintf("toDateTime(%d)", t.Unix()) }

func milliseconds(t time.Time) string {
	return fmt.Sprintf("fromUnixTimestamp64Milli(%d)", t.UnixMilli())
}

func date(t time.Time) string { return fmt.Sprintf("toDate('%s')", t.Format(time.DateOnly)) }

// arguments returns the arguments of the macro whose parenthesis opens at i,
// and the index after the one that closes it.
func arguments(sql string, i int) (args []string, end int, err error) {
	depth, begin := 0, i+1
	for i < len(sql) {
		if end := skipQuoted(sql, i); end > i {
			i = end
			continue
		}
		switch c := sql[i]; {
		case c == '(':
			depth++
		case c == ')' && depth == 1:
			if last := strings.TrimSpace(sql[begin:i]); last != "" || len(args) > 0 {
				args = append(args, last)
			}
			return args, i + 1, nil
		case c == ')':
			depth--
		case c == ',' && depth == 1:
			args = append(args, strings.TrimSpace(sql[begin:i]))
			begin = i + 1
		}
		i++
	}
	return nil, 0, errors.New("its parenthesis is not closed")
}

// skipQuoted returns the end of the string, quoted name or comment that begins
// at i, and i where none does.
func skipQuoted(sql string, i int) int {
	rest := sql[i:]
	switch {
	case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
		if n := strings.IndexByte(rest, '\n'); n >= 0 {
			return i + n + 1
		}
		return len(sql)
	case strings.HasPrefix(rest, "/*"):
		if n := strings.Index(rest[2:], "*/"); n >= 0 {
			return i + 2 + n + 2
		}
		return len(sql)
	}
	quote := sql[i]
	if quote != '\'' && quote != '"' && quote != '`' {
		return i
	}
	for j := i + 1; j < len(sql); j++ {
		switch sql[j] {
		case '\\':
			j++
		case quote: // A doubled one ends this part and begins the next.
			return j + 1
		}
	}
	return len(sql)
}

// isComment tells comments from what else skipQuoted finds.
func isComment(sql string) bool { return sql[0] == '-' || sql[0] == '#' || sql[0] == '/' }

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
