// The panel barchart: a bar for each row.

import { axisText, Chart, grid, tip, tooltip, type Options } from "../chart.ts";
import { asNumber, bounds, colorOf, paletteIndexes, show, tick, type Field } from "../field.ts";
import { withLegend } from "../legend.ts";
import { calculate, calculationTitle, isEmpty, numberFields, tables } from "../result.ts";
import { ink } from "../theme.ts";
import { empty, type Drawn, type Input } from "./panel.ts";

export function barchart(input: Input): Drawn {
  const { panel, frames, hidden } = input;
  const all = tables(panel, frames);
  const table = all[0];
  if (!table || isEmpty(all)) return empty(panel);
  const numbers = numberFields(table);
  const naming =
    table.fields.find((f) => f.name === panel.options?.xField || f.column === panel.options?.xField) ??
    table.fields.find((f) => f.type === "string") ??
    table.fields.find((f) => f.type === "time");
  const fields = numbers.filter((f) => f !== naming);
  const categories = Array.from({ length: table.length }, (_, i) => (naming ? show(naming.values[i], naming).text || "(none)" : String(i + 1)));
  const places = paletteIndexes(fields.map((f) => f.name), panel.fieldConfig?.defaults?.color?.mode === "palette-classic-by-name");
  const colorAt = (f: Field, i: number) => colorOf(asNumber(f.values[i]), f, places.get(f.name)!, bounds(f));

  const chart = new Chart(`${panel.title}: ${categories.length} bars`);
  const draw = () =>
    chart.show((width, height) => options(input, fields.filter((f) => !hidden.has(f.name)), categories, colorAt, width, height));
  const calcs: string[] = panel.options?.legend?.calcs ?? [];
  const entries = fields.map((f) => ({ name: f.name, color: colorAt(f, 0), values: calcs.map((c) => show(calculate(f, c), f).text) }));
  const legend = fields.length > 1 ? panel.options?.legend : { showLegend: false };
  return { element: withLegend(chart.element, legend, calcs.map(calculationTitle), entries, hidden, draw), mount: draw, close: () => chart.close() };
}

function options({ panel }: Input, fields: Field[], categories: string[], colorAt: (f: Field, i: number) => string, width: number, height: number): Options {
  const { line, muted } = ink();
  const o = panel.options ?? {};
  const horizontal = o.orientation === "horizontal";
  const stacking = o.stacking ?? panel.fieldConfig?.defaults?.custom?.stacking?.mode ?? "none";
  const config = fields[0]?.config ?? panel.fieldConfig?.defaults ?? {};
  const room = ((horizontal ? height : width) - 50) / Math.max(categories.length, 1);
  const values = o.showValue === "always" || (o.showValue !== "never" && room > 34);
  const names = {
    type: "category",
    data: categories,
    inverse: horizontal,
    axisLabel: { ...axisText(), interval: o.xTickLabelSpacing ? undefined : "auto", hideOverlap: true, rotate: -(o.xTickLabelRotation ?? 0), overflow: "truncate", width: horizontal ? 150 : Math.max(room - 6, 40) },
    axisLine: { lineStyle: { color: line } },
    axisTick: { show: false },
  };
  const lengths = {
    type: "value",
    min: config.min ?? undefined,
    max: config.max ?? undefined,
    splitNumber: 4,
    minInterval: config.decimals === 0 && config.unit !== "percentunit" ? 1 : undefined,
    axisLabel: { ...axisText(), formatter: (v: number) => tick(v, config) },
    splitLine: { lineStyle: { color: line } },
  };
  return {
    grid: { ...grid(), top: values && !horizontal ? 24 : 12, right: values && horizontal ? 64 : 12 },
    xAxis: horizontal ? lengths : names,
    yAxis: horizontal ? names : lengths,
    tooltip: tooltip(
      "axis",
      (params) => {
        const i = params[0]?.dataIndex ?? 0;
        return tip(categories[i] ?? "", fields.map((f) => ({ color: colorAt(f, i), name: f.name, text: show(f.values[i], f).text })));
      },
      { type: "shadow" },
    ),
    series: fields.map((f) => ({
      type: "bar",
      name: f.name,
      ...(stacking === "none" ? {} : { stack: "all" }),
      barMaxWidth: 56,
      barCategoryGap: "28%",
      data: f.values.map((v, i) => ({ value: asNumber(v), itemStyle: { color: colorAt(f, i), borderRadius: stacking === "none" ? (horizontal ? [0, 3, 3, 0] : [3, 3, 0, 0]) : 0 } })),
      label: {
        show: values && stacking === "none",
        position: horizontal ? "right" : "top",
        color: muted,
        fontSize: 11,
        formatter: ({ dataIndex }: { dataIndex: number }) => (fields.length > 1 || room < 60 ? tick(asNumber(f.values[dataIndex]) ?? 0, f.config) : show(f.values[dataIndex], f).text),
      },
      labelLayout: { hideOverlap: true },
      emphasis: { disabled: true },
    })),
  };
}
