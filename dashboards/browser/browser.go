// Package browser looks at the dashboards' pages with a real Chromium, for the
// tests and the screenshots.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds the wait for a page, on the slowest machine.
const patience = 2 * time.Minute

// A Browser is a headless Chromium with a profile of its own.
type Browser struct {
	ctx   context.Context
	close func()
}

// Start starts Debian's Chromium. It ends with ctx, or with Close.
func Start(ctx context.Context) (*Browser, error) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("%w; install it, on Debian with: apt-get install chromium", err)
	}
	profile, err := os.MkdirTemp("", "loyaltyhouse-chromium-")
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(patience)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run",
		"disable-background-networking", "disable-component-update", "disable-sync", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, closeAllocator := chromedp.NewExecAllocator(ctx, options...)
	browser, closeBrowser := chromedp.NewContext(allocator)
	b := &Browser{ctx: browser, close: func() {
		closeBrowser()
		closeAllocator()
		_ = os.RemoveAll(profile) // It lies in the system's temporary directory.
	}}
	if err := chromedp.Do(browser); err != nil {
		b.close()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return b, nil
}

// Close ends the browser.
func (b *Browser) Close() { b.close() }

// A View is how a page is looked at.
type View struct {
	Width, Height int64
	// Scale is pixels of a screenshot per pixel of the page; 0 is 1.
	Scale float64
	Dark  bool
	Phone bool
}

// A Page is a tab.
type Page struct {
	ctx   context.Context
	close func()

	mu         sync.Mutex
	complaints []string
}

// Open opens an URL and waits until the dashboard on it, if it is one, has all
// its data.
func (b *Browser) Open(url string, view View) (*Page, error) {
	tab, closeTab := chromedp.NewContext(b.ctx)
	p := &Page{ctx: tab, close: closeTab}
	err := chromedp.Listen(tab, p.listen)
	if err == nil {
		err = p.look(view, view.Height)
	}
	if err == nil {
		err = p.do(chromedp.Navigate(url))
	}
	if err == nil {
		err = p.AwaitLoaded()
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("open %s: %w", url, err)
	}
	return p, nil
}

// Close closes the tab.
func (p *Page) Close() { p.close() }

// look sets the size and the colours of the page.
func (p *Page) look(view View, height int64) error {
	scheme := "light"
	if view.Dark {
		scheme = "dark"
	}
	return p.do(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: view.Width, Height: height, DeviceScaleFactor: max(view.Scale, 1), Mobile: view.Phone,
		}),
		command(emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: view.Phone}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}),
	)
}

// command is a command of the DevTools protocol as a step.
func command[P any](c cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// do takes steps on the page, within the time that they may take.
func (p *Page) do(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// Evaluate evaluates JavaScript on the page, and returns what it is, or what it
// promises.
func Evaluate[T any](p *Page, script string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		return result, fmt.Errorf("%.80s: %w", script, err)
	}
	return result, nil
}

// Await waits until a JavaScript expression is true.
func (p *Page) Await(expression string) error {
	for until := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		is, err := Evaluate[bool](p, "Boolean("+expression+")")
		if err == nil && is {
			return nil
		}
		if time.Now().After(until) {
			return errors.Join(fmt.Errorf("never: %s; the console says: %q", expression, p.Complaints()), err)
		}
	}
}

// loaded is true when a page has drawn what it asked for.
const loaded = `document.querySelector("main") !== null
	&& document.querySelector("[data-state=loading], [aria-busy], [data-loading]") === null
	&& document.querySelector("#board[data-loaded], main.index, main [role=alert]") !== null`

// AwaitLoaded waits until a page has drawn what it asked for.
func (p *Page) AwaitLoaded() error { return p.Await(loaded) }

// listen collects what a developer would see in red in the console.
func (p *Page) listen(event any) {
	var complaint string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			complaint += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type != runtime.ConsoleAPICalledTypeError && e.Type != runtime.ConsoleAPICalledTypeWarning {
			return
		}
		var words []string
		for _, a := range e.Args {
			words = append(words, string(a.Value), a.Description)
		}
		complaint = string(e.Type) + ": " + strings.Join(words, " ")
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelError && e.Entry.Level != log.EntryLevelWarning {
			return
		}
		complaint = fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complaints = append(p.complaints, complaint)
}

// Complaints returns the errors and warnings of the console so far.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.complaints...)
}

// A Panel is what the page shows of a panel.
type Panel struct {
	ID    int    `json:"id"`
	Type  string `json:"type"`
	Title string `json:"title"`
	// State is drawn, empty, error or note.
	State string `json:"state"`
	// Text is what can be read in the panel.
	Text string `json:"text"`
	// Width and Height are those of the panel's inside, and Ink is the share of the
	// pixels of its charts that are drawn on; -1 without a chart.
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
	Ink    float64 `json:"ink"`
	// Overflow tells that the panel is wider than the page.
	Overflow bool `json:"overflow"`
}

// panels reads the state of all panels. A canvas that nothing was drawn on is
// transparent everywhere.
const panels = `[...document.querySelectorAll("[data-panel]")].map((card) => {
	const body = card.querySelector(".body");
	let [drawn, all] = [0, 0];
	for (const canvas of card.querySelectorAll("canvas")) {
		if (canvas.width === 0 || canvas.height === 0) continue;
		const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
		for (let i = 3; i < data.length; i += 4) if (data[i] > 0) drawn++;
		all += data.length / 4;
	}
	const box = card.getBoundingClientRect();
	return {
		id: Number(card.dataset.panel), type: card.dataset.type, state: card.dataset.state,
		title: card.querySelector("h2")?.textContent ?? "", text: body.innerText,
		width: body.clientWidth, height: body.clientHeight,
		ink: card.querySelector(".chart") ? (all ? drawn / all : 0) : -1,
		overflow: box.left < 0 || box.right > document.documentElement.clientWidth + 1,
	};
})`

// Panels returns what the page shows of each panel.
func (p *Page) Panels() ([]Panel, error) { return Evaluate[[]Panel](p, panels) }

// frames waits until what has changed is on the screen.
const frames = `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(true), 200))))`

// Screenshot returns the whole page as a PNG. The page is made as high as it is,
// so that what sticks to its top stays there.
func (p *Page) Screenshot(view View) ([]byte, error) {
	height, err := Evaluate[int64](p, `document.documentElement.scrollHeight`)
	if err != nil {
		return nil, err
	}
	if err := p.look(view, max(height, view.Height)); err != nil {
		return nil, err
	}
	if _, err := Evaluate[bool](p, frames); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.CaptureScreenshot())
}
