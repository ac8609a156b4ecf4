package strictyaml

import (
	"fmt"
	"reflect"
	"strings"
)

// fields are the keys that a struct type allows.
type fields struct {
	names []string         // in the order of the struct
	index map[string][]int // for reflect.Value.FieldByIndex
}

// fieldsOf reads the yaml tags of a struct type. As in the yaml package, an
// untagged field has its name in lower case, "-" hides a field and ",inline"
// lifts the fields of a struct to its own level.
func fieldsOf(t reflect.Type) fields {
	f := fields{index: make(map[string][]int)}
	f.add(t, nil)
	return f
}

func (f *fields) add(t reflect.Type, prefix []int) {
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		at := append(append([]int(nil), prefix...), field.Index...)
		if inner := indirect(field.Type); inner.Kind() == reflect.Struct && strings.Contains(options, "inline") {
			f.add(inner, at)
			continue
		}
		if name == "" {
			name = strings.ToLower(field.Name)
		}
		f.names = append(f.names, name)
		f.index[name] = at
	}
}

func (f *fields) list() string {
	if len(f.names) == 0 {
		return "none"
	}
	return strings.Join(f.names, ", ")
}

func (f *fields) unknown(key string) error {
	after := "; allowed: " + f.list()
	if near := Nearest(key, f.names); near != "" {
		after = fmt.Sprintf("; did you mean %q? allowed: %s", near, f.list())
	}
	return &keyError{key: key, before: "unknown key", after: after}
}

// settable returns the field at index and allocates inlined pointers on the way.
func settable(v reflect.Value, index []int) reflect.Value {
	for i, n := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// Nearest returns the name that was most likely meant by key, or "".
func Nearest(key string, names []string) string {
	const longestKey = 64
	if len(key) > longestKey {
		return ""
	}
	best, least := "", 0
	key = strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	for _, name := range names {
		d := distance(key, name)
		if d <= max(1, max(len(key), len(name))/3) && (best == "" || d < least) {
			best, least = name, d
		}
	}
	return best
}

// distance counts the bytes to insert, remove or replace between a and b
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
