//go:build linux && browser

package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loyaltyhouse/dashboards"
	"loyaltyhouse/dashboards/browser"
)

// What all tests look at, and with.
var (
	service  *browser.Service
	chromium *browser.Browser
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if chromium, err = browser.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer chromium.Close()
	var log bytes.Buffer
	if service, err = browser.StartService(context.Background(), &log); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, &log)
		return 1
	}
	code := m.Run()
	service.Stop()
	if code != 0 {
		fmt.Fprintf(os.Stderr, "the connector logged:\n%s", &log)
	}
	return code
}

var (
	desktop = browser.View{Width: 1440, Height: 900}
	dark    = browser.View{Width: 1440, Height: 900, Dark: true}
	phone   = browser.View{Width: 390, Height: 844, Phone: true}
)

const front = "points-by-scene"

func address(path string) string { return "http://" + service.Admin + "/dashboards" + path }

// open opens a page, which must not have complained when the test ends.
func open(t *testing.T, url string, view browser.View) *browser.Page {
	t.Helper()
	page, err := chromium.Open(url, view)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if complaints := page.Complaints(); len(complaints) > 0 {
			t.Errorf("the console of %s says: %q", url, complaints)
		}
		page.Close()
	})
	return page
}

func evaluate[T any](t *testing.T, page *browser.Page, script string) T {
	t.Helper()
	result, err := browser.Evaluate[T](page, script)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func await(t *testing.T, page *browser.Page, expression string) {
	t.Helper()
	if err := page.Await(expression); err != nil {
		t.Fatal(err)
	}
}

// act does something that makes the page ask anew, and waits until it has drawn.
func act(t *testing.T, page *browser.Page, script string) {
	t.Helper()
	before := evaluate[string](t, page, `document.querySelector("#board").dataset.loaded`)
	evaluate[bool](t, page, "(() => {"+script+"; return true })()")
	await(t, page, fmt.Sprintf(`document.querySelector("#board").dataset.loaded !== %q`, before))
	if err := page.AwaitLoaded(); err != nil {
		t.Fatal(err)
	}
}

// ledger is the address of the ledger of a customer who has something of everything.
func ledger() string {
	return address("/customer-ledger?" + url.Values{
		"from": {"now-1y"}, "to": {"now"}, "var-customer": {service.Customer}, "var-shop": {service.Shop},
	}.Encode())
}

// mayBeEmpty are panels that show what should not happen, or what not every
// customer does.
var mayBeEmpty = []string{"Gaps, one by one", "Gaps of this customer", "Changes of the profile"}

func TestEveryPanelIsDrawn(t *testing.T) {
	all, err := dashboards.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		for name, view := range map[string]browser.View{"light": desktop, "dark": dark, "phone": phone} {
			t.Run(d.UID+"/"+name, func(t *testing.T) {
				at := address("/" + d.UID)
				if d.UID == "customer-ledger" {
					at = ledger()
				}
				page := open(t, at, view)
				panels, err := page.Panels()
				if err != nil {
					t.Fatal(err)
				}
				if len(panels) != len(d.Panels) {
					t.Errorf("%d panels are shown of %d", len(panels), len(d.Panels))
				}
				for _, shown := range panels {
					panel, ok := d.Panel(shown.ID)
					if !ok {
						t.Fatalf("there is no panel %d", shown.ID)
					}
					check(t, panel, shown)
				}
				image, err := page.Screenshot(view)
				if err != nil {
					t.Fatal(err)
				}
				checkImage(t, image, view)
				keep(t, image)
			})
		}
	}
}

func check(t *testing.T, panel *dashboards.Panel, shown browser.Panel) {
	t.Helper()
	want := "drawn"
	if len(panel.Targets) > 0 && panel.Targets[0].Expr != "" {
		want = "note"
	}
	switch {
	case shown.State == "empty" && slices.Contains(mayBeEmpty, panel.Title):
	case shown.State != want:
		t.Errorf("%q is %s, want %s: %s", panel.Title, shown.State, want, shown.Text)
	case want == "drawn" && shown.Ink >= 0 && shown.Ink < 0.0005:
		t.Errorf("the chart of %q has nothing on it", panel.Title)
	case want == "drawn" && shown.Ink < 0 && strings.TrimSpace(shown.Text) == "":
		t.Errorf("%q has no text", panel.Title)
	}
	if shown.Title != panel.Title {
		t.Errorf("%q has the title %q", panel.Title, shown.Title)
	}
	if shown.Width < 60 || shown.Height < 30 || shown.Overflow {
		t.Errorf("%q has %gx%g pixels; beyond the page: %v", panel.Title, shown.Width, shown.Height, shown.Overflow)
	}
}

// checkImage looks whether the page is as light or dark as it should be.
func checkImage(t *testing.T, data []byte, view browser.View) {
	t.Helper()
	image, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	bounds := image.Bounds()
	var sum, n uint64
	for y := bounds.Min.Y; y < bounds.Max.Y; y += 7 {
		for x := bounds.Min.X; x < bounds.Max.X; x += 7 {
			r, g, b, _ := image.At(x, y).RGBA()
			sum += uint64(r+g+b) / 3 >> 8
			n++
		}
	}
	if mean := sum / n; view.Dark != (mean < 128) {
		t.Errorf("the page's mean brightness is %d, dark is %v", mean, view.Dark)
	}
}

// keep writes a picture to the directory that $SCREENSHOTS names, to be looked at.
func keep(t *testing.T, image []byte) {
	t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	file := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(t.Name(), "Test"), "/", "-")+".png")
	if err := os.WriteFile(file, image, 0o644); err != nil {
		t.Fatal(err)
	}
}

// number reads the large number of a stat.
const number = `((title) => document.querySelector('[aria-label="' + title + '"] .stat-value').innerText)`

// A customer in a table leads to the customer's ledger.
func TestLinkToALedger(t *testing.T) {
	page := open(t, address("/"+front), desktop)
	link := evaluate[string](t, page, `[...document.querySelectorAll("td a")].find((a) => a.href.includes("/customer-ledger"))?.href ?? ""`)
	target, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, parameter := range []string{"var-customer", "var-shop", "from"} {
		if target.Query().Get(parameter) == "" {
			t.Errorf("the link %q has no %s", link, parameter)
		}
	}
}

func TestVariable(t *testing.T) {
	page := open(t, address("/"+front), desktop)
	before := evaluate[string](t, page, number+`("Points earned")`)
	// Several are chosen before the box closes, and only then asked for.
	evaluate[bool](t, page, `document.querySelector('[aria-label^="Scene:"]').click() ?? true`)
	await(t, page, `document.querySelectorAll(".options input").length > 5`)
	act(t, page, `
		const box = document.querySelector('.options input[value="SUCCESSFUL_ORDERS"]');
		box.click();
		box.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }))`)
	if chosen := evaluate[[]string](t, page, `new URL(location).searchParams.getAll("var-scene")`); !slices.Equal(chosen, []string{"SUCCESSFUL_ORDERS"}) {
		t.Errorf("the address has the scenes %q", chosen)
	}
	if after := evaluate[string](t, page, number+`("Points earned")`); after == before {
		t.Errorf("the points earned are still %s", after)
	}
	rows := evaluate[[]string](t, page, `[...document.querySelectorAll('[aria-label="Totals by scene"] tbody tr td:first-child')].map((td) => td.innerText)`)
	if !slices.Equal(rows, []string{"SUCCESSFUL_ORDERS"}) {
		t.Errorf("the table has the scenes %q", rows)
	}
	// The address is enough to see the same again, and another dashboard gets it.
	again := open(t, evaluate[string](t, page, "location.href"), desktop)
	if label := evaluate[string](t, again, `document.querySelector('[aria-label^="Scene:"]').innerText.trim()`); label != "SUCCESSFUL_ORDERS" {
		t.Errorf("opened again, the scene is %q", label)
	}
	if link := evaluate[string](t, page, `document.querySelector('nav a[href*="store-credits"]').href`); !strings.Contains(link, "from=now-30d") {
		t.Errorf("the link to another dashboard loses the time: %s", link)
	}
}

func TestSelect(t *testing.T) {
	page := open(t, address("/"+front), desktop)
	act(t, page, `
		const select = [...document.querySelectorAll(".variable select")].at(-1);
		select.value = "week";
		select.dispatchEvent(new Event("change"))`)
	if query := evaluate[string](t, page, `new URL(location).searchParams.get("var-interval")`); query != "week" {
		t.Errorf("the address has the interval %q", query)
	}
}

func TestTimeRange(t *testing.T) {
	page := open(t, address("/"+front), desktop)
	month := evaluate[string](t, page, number+`("Points earned")`)
	evaluate[bool](t, page, `document.querySelector('[aria-label^="Time range"]').click() ?? true`)
	act(t, page, `[...document.querySelectorAll(".quick button")].find((b) => b.innerText === "Last 7 days").click()`)
	if from := evaluate[string](t, page, `new URL(location).searchParams.get("from")`); from != "now-7d" {
		t.Errorf("the address begins at %q", from)
	}
	if week := evaluate[string](t, page, number+`("Points earned")`); week == month {
		t.Errorf("a week has as many points as a month: %s", week)
	}

	// Two times, the wrong way round first.
	evaluate[bool](t, page, `document.querySelector('[aria-label^="Time range"]').click() ?? true`)
	evaluate[bool](t, page, `(() => {
		const form = document.querySelector(".absolute");
		form.from.value = "2026-10-05T00:00:00";
		form.to.value = "2026-10-01T00:00:00";
		form.requestSubmit();
		return true;
	})()`)
	if wrong := evaluate[string](t, page, `document.querySelector(".wrong").innerText`); !strings.Contains(wrong, "after") {
		t.Errorf("a range that ends before it begins is answered with %q", wrong)
	}
	act(t, page, `
		const form = document.querySelector(".absolute");
		form.to.value = "2026-10-09T12:30:00";
		form.requestSubmit()`)
	if text := evaluate[string](t, page, `document.querySelector('[aria-label^="Time range"]').innerText.trim()`); text != "2026-10-05 to 2026-10-09 12:30" {
		t.Errorf("the time range is %q", text)
	}
	act(t, page, `document.querySelector('[aria-label="Earlier"]').click()`)
	if text := evaluate[string](t, page, `document.querySelector('[aria-label^="Time range"]').innerText.trim()`); !strings.HasPrefix(text, "2026-10-02") {
		t.Errorf("half the range earlier is %q", text)
	}
	act(t, page, `document.querySelector("#refresh").click()`)
}

// What opens on a phone lies on its screen.
func TestBoxesOnPhone(t *testing.T) {
	page := open(t, address("/"+front), phone)
	for _, control := range []string{`[aria-label^="Time range"]`, `[aria-label^="Shop:"]`, `[aria-label^="Scene:"]`} {
		evaluate[bool](t, page, `document.querySelector('`+control+`').click() ?? true`)
		if !evaluate[bool](t, page, `(() => {
			const box = document.querySelector(".box").getBoundingClientRect();
			return box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.height > 50;
		})()`) {
			t.Errorf("the box of %s is not on the screen", control)
		}
		evaluate[bool](t, page, `document.querySelector('`+control+`').click() ?? true`)
	}
	if evaluate[bool](t, page, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("the page can be scrolled sideways")
	}
}

func TestColours(t *testing.T) {
	page := open(t, address("/"+front), dark)
	shades := []string{}
	for range 4 {
		shades = append(shades, evaluate[string](t, page, `document.documentElement.dataset.theme`))
		evaluate[bool](t, page, `document.querySelector("#theme").click() ?? true`)
	}
	// As the system is, light, dark, and as the system is again.
	if want := []string{"dark", "light", "dark", "dark"}; !slices.Equal(shades, want) {
		t.Errorf("the colours were %q, want %q", shades, want)
	}
	// The choice, light by now, is kept.
	again := open(t, address("/"+front), dark)
	if theme := evaluate[string](t, again, `document.documentElement.dataset.theme`); theme != "light" {
		t.Errorf("opened again, the page is %s", theme)
	}
	evaluate[bool](t, again, `localStorage.clear() ?? true`)
}

func TestTableSorts(t *testing.T) {
	page := open(t, address("/"+front), desktop)
	const events = `[...document.querySelectorAll('[aria-label="Totals by scene"] tbody tr')].map((tr) => Number(tr.children[1].innerText.replaceAll(",", "")))`
	const head = `document.querySelectorAll('[aria-label="Totals by scene"] thead th')[1]`
	for _, want := range []string{"descending", "ascending"} {
		evaluate[bool](t, page, head+`.querySelector("button").click() ?? true`)
		rows := evaluate[[]float64](t, page, events)
		if want == "descending" {
			slices.Reverse(rows)
		}
		if said := evaluate[string](t, page, head+`.getAttribute("aria-sort")`); said != want || !slices.IsSorted(rows) {
			t.Errorf("sorted %s, want %s: %v", said, want, rows)
		}
	}
}

func TestLegendHides(t *testing.T) {
	page := open(t, address("/"+front), desktop)
	// differ counts the pixels of the chart that are other than in window.before. A
	// chart that is drawn over may place a line's soft edge otherwise than a new one.
	evaluate[bool](t, page, `(() => {
		const card = document.querySelector('[aria-label="Earned by scene"]');
		const pixels = () => {
			const canvas = card.querySelector("canvas");
			const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height }).getContext("2d");
			copy.drawImage(canvas, 0, 0);
			return new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
		};
		window.before = pixels();
		window.differ = () => pixels().reduce((n, pixel, i) => n + (pixel !== window.before[i]), 0);
		window.click = () => card.querySelector(".legend-name").click();
		return true;
	})()`)
	evaluate[bool](t, page, "window.click() ?? true")
	await(t, page, "window.differ() > 1000")
	hidden := evaluate[int](t, page, "window.differ()")
	evaluate[bool](t, page, "window.click() ?? true")
	await(t, page, fmt.Sprintf("window.differ() < %d", hidden/10))
}

func TestTooltip(t *testing.T) {
	page := open(t, address("/"+front), desktop)
	evaluate[bool](t, page, `(() => {
		const chart = document.querySelector('[aria-label="Earned by scene"] .chart');
		const box = chart.getBoundingClientRect();
		const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };
		chart.querySelector("canvas").dispatchEvent(new MouseEvent("mousemove", at));
		return true;
	})()`)
	await(t, page, `document.querySelectorAll(".tip-line").length > 2`)
}

func TestAbout(t *testing.T) {
	page := open(t, address("/"+front), desktop)
	evaluate[bool](t, page, `document.querySelector('[aria-label="About Points earned"]').click() ?? true`)
	text := evaluate[string](t, page, `document.querySelector("dialog[open]").innerText`)
	for _, want := range []string{"SELECT", "1 row in"} {
		if !strings.Contains(text, want) {
			t.Errorf("the dialog does not say %q: %s", want, text)
		}
	}
	evaluate[bool](t, page, `document.querySelector("dialog").close() ?? true`)
	await(t, page, `document.querySelector("dialog") === null`)
}

func TestIndex(t *testing.T) {
	all, err := dashboards.Load()
	if err != nil {
		t.Fatal(err)
	}
	page := open(t, address(""), desktop)
	links := evaluate[[]string](t, page, `[...document.querySelectorAll(".entry")].map((a) => a.getAttribute("href"))`)
	for _, d := range all {
		if !slices.Contains(links, "/dashboards/"+d.UID) {
			t.Errorf("the list lacks %s: %q", d.UID, links)
		}
	}
}

// A value that cannot be is an error in the panels that use it, and nowhere else.
func TestPanelSaysWhatIsWrong(t *testing.T) {
	page, err := chromium.Open(address("/"+front+"?"+url.Values{"var-tz": {"Nowhere"}}.Encode()), desktop)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	panels, err := page.Panels()
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, p := range panels {
		states[p.State]++
		if p.State == "error" && !strings.Contains(p.Text, "not one of the options") {
			t.Errorf("%q says %q", p.Title, p.Text)
		}
	}
	if states["error"] == 0 || states["drawn"] == 0 {
		t.Errorf("the panels' states are %v", states)
	}
}
