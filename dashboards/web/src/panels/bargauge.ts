// The panel bargauge: a bar with a number for each value.

import { h } from "../dom.ts";
import { asNumber, bounds, colorOf, show } from "../field.ts";
import { items } from "../result.ts";
import { empty, type Drawn, type Input } from "./panel.ts";

export function bargauge({ panel, frames }: Input): Drawn {
  const all = items(panel, frames);
  if (all.every((item) => asNumber(item.cell) === null)) return empty(panel);
  const numbers = all.map((item) => asNumber(item.cell) ?? 0);
  const least = panel.fieldConfig?.defaults?.min ?? Math.min(0, ...numbers);
  const most = panel.fieldConfig?.defaults?.max ?? Math.max(...numbers);
  const list = h("ul", { class: "bars" });
  for (const [i, item] of all.entries()) {
    const n = asNumber(item.cell);
    const { text, color } = show(item.cell, item.field);
    const bar = h("i", { class: "bar" });
    bar.style.width = n === null || most <= least ? "0" : `${Math.min(Math.max((n - least) / (most - least), 0), 1) * 100}%`;
    bar.style.background = color ?? colorOf(n, item.field, i, bounds(item.field));
    list.append(h("li", {}, h("span", { class: "bar-name", title: item.name }, item.name), h("b", {}, text), h("span", { class: "bar-room" }, bar)));
  }
  return { element: list };
}
