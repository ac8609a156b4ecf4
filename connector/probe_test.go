package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Findings come in the order of the probes, and a probe that does not return
// holds nothing up but itself.
func TestExamine(t *testing.T) {
	release, ended := make(chan struct{}), make(chan struct{})
	probes := []probe{
		{"slow", func(ctx context.Context) []finding {
			<-ctx.Done()
			return []finding{foundf("slow", broken, "%w; wait", ctx.Err())}
		}},
		{"hangs", func(context.Context) []finding {
			<-release
			close(ended)
			return nil
		}},
		{"quick", func(context.Context) []finding {
			return []finding{finef("quick", "a"), foundf("quick", doubtful, "b; mend it; soon")}
		}},
	}
	var out bytes.Buffer
	printer := newFindingPrinter(&out, false)
	begin := time.Now()
	if err := examine(t.Context(), probes, 100*time.Millisecond, printer.print); err != nil {
		t.Fatal(err)
	}
	if err := printer.end(broken); err == nil || err.Error() != "2 findings need attention; each says what to do" {
		t.Errorf("end returns %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	close(release)
	<-ended
	want := `failed  slow                                context deadline exceeded
                                            -> wait
failed  hangs                               no answer within 100ms
                                            -> give it more with --timeout, or see why it hangs
ok      quick                               a
warn    quick                               b
                                            -> mend it; soon
2 ok, 1 warn, 2 failed
`
	want = strings.Replace(want, "2 ok", "1 ok", 1)
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

func TestSeparate(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	for _, test := range []struct {
		err  error
		want string
	}{
		{a, "[a]"},
		{errors.Join(a, errors.Join(b, a)), "[a b a]"},
		{fmt.Errorf("both %w and %w", a, b), "[both a and b]"},
		{errors.Join(fmt.Errorf("both %w and %w", a, b), b), "[both a and b b]"},
	} {
		if got := fmt.Sprint(separate(test.err)); got != test.want {
			t.Errorf("separate(%v) is %s, want %s", test.err, got, test.want)
		}
	}
}

// What comes from outside cannot move the cursor or break the table.
func TestFindingsAreOneVisibleLine(t *testing.T) {
	f := foundf("p", broken, "two\nlines\x1b[2J; do\n\tthis")
	if f.Detail != `two lines\x1b[2J` || f.Advice != "do this" {
		t.Errorf("the finding is %+v", f)
	}
}
