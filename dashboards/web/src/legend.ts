// The legend beside or below a chart. A click on a name hides its series, or
// shows it again.

import { h } from "./dom.ts";
import { dot } from "./chart.ts";

export interface LegendEntry {
  name: string;
  color: string;
  values: string[];
}

export interface LegendOptions {
  showLegend?: boolean;
  displayMode?: string;
  placement?: string;
}

// withLegend puts a chart and its legend in an element. It calls redraw with the
// names that are hidden.
export function withLegend(
  chart: HTMLElement,
  options: LegendOptions | undefined,
  columns: string[],
  entries: LegendEntry[],
  hidden: Set<string>,
  redraw: () => void,
): HTMLElement {
  if (options?.showLegend === false || options?.displayMode === "hidden" || entries.length === 0) return h("div", { class: "plot" }, chart);
  const asTable = options?.displayMode === "table" && columns.length > 0;
  const button = (entry: LegendEntry) => {
    const b = h(
      "button",
      {
        type: "button",
        class: "legend-name",
        title: entry.name,
        "aria-pressed": String(!hidden.has(entry.name)),
        onclick: () => {
          if (!hidden.delete(entry.name)) hidden.add(entry.name);
          b.setAttribute("aria-pressed", String(!hidden.has(entry.name)));
          redraw();
        },
      },
      dot(entry.color),
      h("span", {}, entry.name),
    );
    return b;
  };
  const legend = asTable
    ? h(
        "table",
        {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "hidden" }, "Name")), ...columns.map((c) => h("th", { scope: "col" }, c)))),
        h("tbody", {}, ...entries.map((e) => h("tr", {}, h("td", {}, button(e)), ...e.values.map((v) => h("td", { class: "number" }, v))))),
      )
    : h("div", { class: "legend-list" }, ...entries.map((e) => h("span", {}, button(e), ...e.values.map((v) => h("b", {}, ` ${v}`)))));
  return h("div", { class: `plot ${options?.placement === "right" ? "beside" : "below"}` }, chart, h("div", { class: "legend", tabindex: 0, role: "group", "aria-label": "Legend" }, legend));
}
