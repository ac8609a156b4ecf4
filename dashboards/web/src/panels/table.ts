// The panel table. A click on a column's name sorts by it.

import type { Cell } from "../api.ts";
import { fill, h } from "../dom.ts";
import { asNumber, bounds, colorOf, show, type Field } from "../field.ts";
import { tables, wide, type Table } from "../result.ts";
import { fade, readable } from "../theme.ts";
import { empty, type Drawn, type Input } from "./panel.ts";

// rowsAtOnce is how many rows are drawn before a person asks for more.
const rowsAtOnce = 200;

export function table(input: Input): Drawn {
  const { panel, frames } = input;
  const all = frames.some((f) => f.timeSeries) ? wide(panel, frames) : tables(panel, frames);
  const filled = all.filter((t) => t.length > 0);
  if (filled.length === 0) return empty(panel);
  return { element: h("div", { class: "tables" }, ...filled.map((t) => grid(input, t))) };
}

function grid(input: Input, t: Table): HTMLElement {
  const fields = t.fields.filter((f) => f.config.custom?.hidden !== true && f.config.custom?.hideFrom?.viz !== true);
  let order = Array.from({ length: t.length }, (_, i) => i);
  let limit = rowsAtOnce;
  let sorted: { field: Field; descending: boolean } | undefined;
  const body = h("tbody");
  const more = h("button", { type: "button", class: "control more", onclick: () => draw((limit += 1000)) }, "Show more rows");
  const ranges = new Map(fields.map((f) => [f, bounds(f)]));

  const heads = fields.map((f) => {
    const button = h("button", { type: "button", onclick: () => sort(f) }, f.name);
    const head = h("th", { scope: "col", class: alignment(f), "aria-sort": "none" }, button);
    const width = f.config.custom?.width;
    if (width) head.style.width = `${width}px`;
    return head;
  });

  function sort(field: Field): void {
    // Numbers begin with the largest, texts with the first.
    sorted = { field, descending: sorted?.field === field ? !sorted.descending : field.type === "number" };
    const { descending } = sorted;
    order = order.toSorted((a, b) => compare(field, a, b) * (descending ? -1 : 1));
    heads.forEach((head, i) => head.setAttribute("aria-sort", fields[i] !== field ? "none" : descending ? "descending" : "ascending"));
    draw(limit);
  }

  function draw(rows: number): void {
    fill(body, ...order.slice(0, rows).map((row) => h("tr", {}, ...fields.map((f, i) => cell(input, t, f, row, i, ranges.get(f)!)))));
    more.hidden = order.length <= rows;
  }
  draw(limit);
  return h("div", { class: "table", tabindex: 0, role: "region", "aria-label": input.panel.title ?? "Table" }, h("table", {}, h("thead", {}, h("tr", {}, ...heads)), body), more);
}

const alignment = (f: Field): string => {
  const align = f.config.custom?.align;
  return align === "right" || ((!align || align === "auto") && f.type === "number") ? "number" : align === "center" ? "centre" : "";
};

function compare(field: Field, a: number, b: number): number {
  const [x, y] = [field.values[a] ?? null, field.values[b] ?? null];
  if (x === null || y === null) return x === y ? a - b : x === null ? -1 : 1;
  const [n, m] = [asNumber(x), asNumber(y)];
  if (field.type !== "string" && n !== null && m !== null) return n - m || a - b;
  return String(x).localeCompare(String(y), "en", { numeric: true }) || a - b;
}

function cell(input: Input, t: Table, f: Field, row: number, index: number, range: [number, number]): HTMLElement {
  const raw: Cell = f.values[row] ?? null;
  const { text, color } = show(raw, f);
  const td = h("td", { class: alignment(f) });
  const number = f.type === "number" ? asNumber(raw) : null;
  const type: string = f.config.custom?.cellOptions?.type ?? "auto";
  const tint = () => color ?? colorOf(number, f, index, range);
  const link = f.config.links?.[0];
  const label: Node =
    link && raw !== null && raw !== ""
      ? h("a", { href: input.href(link, { raw: String(raw), text, row: rowOf(t, row) }), title: link.title }, breakable(text))
      : breakable(text);

  if (type === "gauge" && number !== null) {
    const bar = h("i", { class: "bar" });
    bar.style.width = `${range[1] > Math.min(range[0], 0) ? Math.min(Math.max((number - Math.min(range[0], 0)) / (range[1] - Math.min(range[0], 0)), 0), 1) * 100 : 0}%`;
    bar.style.background = tint();
    td.append(h("span", { class: "gauge-cell" }, h("span", { class: "bar-room" }, bar), h("span", { class: "gauge-text" }, label)));
    return td;
  }
  td.append(label);
  if (type === "color-text" || (color && type === "auto")) td.style.color = tint();
  if (type === "color-background" && raw !== null) {
    const background = tint();
    td.style.background = background;
    td.style.color = background.startsWith("#") ? readable(background) : fade(background, 1);
  }
  return td;
}

// breakable lets a name go on in the next line after a slash or an underscore.
function breakable(text: string): Node {
  const parts = text.split(/(?<=[/_])/);
  if (parts.length === 1) return document.createTextNode(text);
  return h("span", { class: "breakable" }, ...parts.flatMap((part, i) => (i > 0 ? [h("wbr"), part] : [part])));
}

const rowOf = (t: Table, row: number) =>
  Object.fromEntries(t.fields.flatMap((f) => [[f.column, String(f.values[row] ?? "")], [f.name, String(f.values[row] ?? "")]]));
