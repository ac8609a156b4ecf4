// The controls of the time: quick ranges, two times, steps back and forward, and
// how often to refresh.

import { dropdown, h, icon } from "./dom.ts";
import { isUTC, quickRanges, rangeText, refreshes, resolve, writeTime, zoneName, type Range } from "./time.ts";

export function picker(range: Range, choose: (range: Range) => void): HTMLElement {
  const text = rangeText(range, isUTC());
  const [from, to] = [resolve(range.from, false, isUTC()), resolve(range.to, true, isUTC())];
  const move = (direction: number) => {
    const step = Math.round((to - from) / 2) * direction;
    choose({ from: String(from + step), to: String(to + step) });
  };
  return h(
    "div",
    { class: "joined" },
    h("button", { type: "button", class: "control", "aria-label": "Earlier", title: "Earlier", onclick: () => move(-1) }, icon("back")),
    dropdown([icon("clock"), h("span", { class: "ellipsis" }, text)], `Time range: ${text}`, (close) => box(range, from, to, (next) => (close(), choose(next)))),
    h("button", { type: "button", class: "control", "aria-label": "Later", title: "Later", onclick: () => move(1) }, icon("forward")),
  );
}

function box(range: Range, from: number, to: number, choose: (range: Range) => void): HTMLElement {
  const input = (ms: number, name: string) =>
    h("input", { type: "datetime-local", step: 1, name, required: true, class: "control", value: writeTime(ms).replace(" ", "T") });
  const [first, last] = [input(from, "from"), input(to, "to")];
  const wrong = h("p", { class: "wrong", role: "alert" });
  const apply = (event: Event) => {
    event.preventDefault();
    const [a, b] = [resolve(first.value, false, isUTC()), resolve(last.value, true, isUTC())];
    if (!(a < b)) wrong.textContent = "The end must come after the beginning.";
    else choose({ from: String(a), to: String(b) });
  };
  return h(
    "div",
    { class: "picker" },
    h(
      "div",
      { class: "quick" },
      ...quickRanges.map(([text, a, b]) =>
        h("button", { type: "button", "aria-pressed": String(a === range.from && b === range.to), onclick: () => choose({ from: a, to: b }) }, text),
      ),
    ),
    h(
      "form",
      { class: "absolute", onsubmit: apply },
      h("label", {}, "From", first),
      h("label", {}, "To", last),
      wrong,
      h("button", { type: "submit", class: "control primary" }, "Apply"),
      h("p", { class: "muted" }, `Times are in ${zoneName()}.`),
    ),
  );
}

export function refresher(every: string, choose: (every: string) => void, now: () => void): HTMLElement {
  const offered = refreshes.includes(every) ? refreshes : [...refreshes, every];
  const select = h(
    "select",
    { class: "control", "aria-label": "Refresh automatically", onchange: () => choose(select.value) },
    ...offered.map((r) => h("option", { value: r, selected: r === every }, r === "" ? "Off" : r)),
  );
  return h("div", { class: "joined" }, h("button", { type: "button", class: "control", id: "refresh", "aria-label": "Refresh", title: "Refresh", onclick: now }, icon("refresh")), select);
}
