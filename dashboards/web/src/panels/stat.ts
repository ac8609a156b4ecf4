// The panel stat: one number, or a few, as large as they fit.

import { h, svg } from "../dom.ts";
import { asNumber, bounds, colorOf, show } from "../field.ts";
import { items, type Item } from "../result.ts";
import { fade, ink, readable } from "../theme.ts";
import { empty, type Drawn, type Input } from "./panel.ts";

export function stat({ panel, frames }: Input): Drawn {
  const all = items(panel, frames);
  // A single number that is not there is said with the panel's own word for it.
  if (all.length === 0 && !panel.fieldConfig?.defaults?.noValue) return empty(panel);
  const o = panel.options ?? {};
  const element = h("div", { class: `stats ${o.justifyMode === "center" ? "center" : ""}` });
  if (all.length === 0) element.append(h("div", { class: "stat" }, h("div", { class: "stat-value muted" }, panel.fieldConfig!.defaults!.noValue!)));
  for (const [i, item] of all.entries()) element.append(tile(item, i, all.length, o));
  return { element };
}

function tile(item: Item, index: number, count: number, o: Record<string, any>): HTMLElement {
  const number = item.field.type === "number" ? asNumber(item.cell) : null;
  const { text, color } = show(item.cell, item.field);
  const tint = color ?? colorOf(number, item.field, index, bounds(item.field));
  const mode = o.textMode ?? "auto";
  const named = mode === "value_and_name" || mode === "name" || (mode === "auto" && count > 1);
  const value = h("div", { class: "stat-value" }, mode === "none" ? "" : mode === "name" ? item.name : text);
  const element = h("div", { class: "stat" }, named && mode !== "name" && h("div", { class: "stat-name" }, item.name), value);
  if (o.colorMode === "background" || o.colorMode === "background_solid") {
    element.style.background = tint;
    element.style.color = readable(tint);
  } else if (o.colorMode !== "none") {
    value.style.color = item.cell === null ? ink().muted : tint;
  }
  if (o.graphMode === "area" && item.history.length > 1) element.append(sparkline(item, tint));
  return element;
}

// sparkline draws where the value comes from.
function sparkline(item: Item, tint: string): SVGElement {
  const numbers = item.history.map(asNumber);
  const known = numbers.filter((n) => n !== null);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const points = numbers.flatMap((n, i) => {
    if (n === null) return [];
    const y = most === least ? 20 : 38 - ((n - least) / (most - least)) * 34;
    return [`${((i / (numbers.length - 1)) * 100).toFixed(2)},${y.toFixed(2)}`];
  });
  return svg(
    "svg",
    { viewBox: "0 0 100 40", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" },
    svg("polygon", { points: `0,40 ${points.join(" ")} 100,40`, fill: fade(tint, 0.14) }),
    svg("polyline", { points: points.join(" "), fill: "none", stroke: tint, "stroke-width": "1.5", "vector-effect": "non-scaling-stroke" }),
  );
}
