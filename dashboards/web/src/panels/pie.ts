// The panel piechart: how a whole divides.

import { Chart, fontFamily, tip, tooltip, type Options } from "../chart.ts";
import { asNumber, paletteIndexes, colorOf, bounds, show } from "../field.ts";
import { withLegend } from "../legend.ts";
import { items } from "../result.ts";
import { ink, readable } from "../theme.ts";
import { write } from "../units.ts";
import { empty, type Drawn, type Input } from "./panel.ts";

export function pie({ panel, frames, hidden }: Input): Drawn {
  const all = items(panel, frames).flatMap((item) => {
    const value = asNumber(item.cell);
    return value !== null && value > 0 ? [{ ...item, value }] : [];
  });
  if (all.length === 0) return empty(panel);
  const byName = panel.fieldConfig?.defaults?.color?.mode !== "palette-classic";
  const places = paletteIndexes((byName ? all.toSorted((a, b) => b.value - a.value) : all).map((s) => s.name), byName);
  const slices = all.map((s) => ({ ...s, color: colorOf(s.value, s.field, places.get(s.name)!, bounds(s.field)) }));
  const shown = () => slices.filter((s) => !hidden.has(s.name));
  const total = () => shown().reduce((sum, s) => sum + s.value, 0);
  const share = (value: number) => write(value / total(), "percentunit", 1);
  const labels: string[] = panel.options?.displayLabels ?? [];

  const options = (): Options => ({
    tooltip: tooltip("item", ({ data }) => tip(data.name, [{ color: data.itemStyle.color, name: data.text, text: share(data.value) }])),
    series: [
      {
        type: "pie",
        radius: panel.options?.pieType === "donut" ? ["54%", "94%"] : "94%",
        center: ["50%", "50%"],
        itemStyle: { borderColor: ink().surface, borderWidth: 2 },
        emphasis: { scale: false },
        label: {
          show: labels.length > 0,
          position: "inside",
          fontSize: 11,
          fontFamily,
          formatter: ({ data }: any) =>
            data.value / total() < 0.05 ? "" : labels.map((l) => ({ name: data.name, value: data.text, percent: share(data.value) })[l] ?? "").join("\n"),
        },
        labelLine: { show: false },
        data: shown().map((s) => ({ name: s.name, value: s.value, text: show(s.cell, s.field).text, itemStyle: { color: s.color }, label: { color: readable(s.color) } })),
      },
    ],
  });
  const chart = new Chart(`${panel.title}: ${slices.map((s) => `${s.name} ${share(s.value)}`).join(", ")}`);
  const draw = () => chart.show(options);
  const values: string[] = panel.options?.legend?.values ?? [];
  const columns = values.map((v) => (v === "percent" ? "Share" : "Value"));
  const entries = slices.map((s) => ({ name: s.name, color: s.color, values: values.map((v) => (v === "percent" ? share(s.value) : show(s.cell, s.field).text)) }));
  return { element: withLegend(chart.element, panel.options?.legend, columns, entries, hidden, draw), mount: draw, close: () => chart.close() };
}
