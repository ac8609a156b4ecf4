// The panel timeseries: lines, bars and points over time.

import { axisText, Chart, grid, tip, tooltip, type Options } from "../chart.ts";
import { asNumber, colorOf, bounds, paletteIndexes, show, tick, type Field } from "../field.ts";
import { withLegend } from "../legend.ts";
import { calculate, calculationTitle, isEmpty, numberFields, wide } from "../result.ts";
import { color, fade, ink } from "../theme.ts";
import { isUTC, ticks, writeTick, writeTime } from "../time.ts";
import { empty, type Drawn, type Input } from "./panel.ts";

interface Series {
  field: Field;
  color: string;
  points: [number, number | null][];
}

// mostInTip is how many series a tooltip names.
const mostInTip = 16;

export function timeseries(input: Input): Drawn {
  const { panel, frames, from, to, hidden } = input;
  const tables = wide(panel, frames);
  if (isEmpty(tables)) return empty(panel);
  const all = tables.flatMap((table) => {
    const time = table.fields.find((f) => f.type === "time");
    if (!time) throw new Error("The query returned no column of times.");
    return numberFields(table).map((field) => ({ field, times: time.values.map(Number) }));
  });
  const weight = (field: Field) => Math.abs(asNumber(calculate(field, "sum")) ?? 0);
  const byName = panel.fieldConfig?.defaults?.color?.mode === "palette-classic-by-name";
  const names = (byName ? all.toSorted((a, b) => weight(b.field) - weight(a.field)) : all).map(({ field }) => field.name);
  const places = paletteIndexes(names, byName);
  const series: Series[] = all
    .map(({ field, times }) => ({
      field,
      color: colorOf(asNumber(calculate(field, "lastNotNull")), field, places.get(field.name)!, bounds(field)),
      points: field.values.map((v, i): [number, number | null] => [times[i]!, asNumber(v)]),
    }))
    .filter((s) => s.points.some(([, v]) => v !== null));
  const step = stepOf(series, to - from);

  const chart = new Chart(`${panel.title}: ${series.length} series from ${writeTime(from, true)} to ${writeTime(to, true)}`);
  const draw = () => chart.show((width) => chartOptions(input, series.filter((s) => !hidden.has(s.field.name)), step, width));
  selectable(chart, input);

  const calcs: string[] = panel.options?.legend?.calcs ?? [];
  const entries = series.map((s) => ({
    name: s.field.name,
    color: s.color,
    values: calcs.map((c) => show(calculate(s.field, c), s.field).text),
    order: asNumber(calculate(s.field, calcs[0] ?? "lastNotNull")) ?? -Infinity,
  }));
  if (panel.options?.legend?.sortBy) entries.sort((a, b) => (panel.options!.legend.sortDesc ? b.order - a.order : a.order - b.order));
  const element = withLegend(chart.element, panel.options?.legend, calcs.map(calculationTitle), entries, hidden, draw);
  return { element, mount: draw, close: () => chart.close() };
}

// stepOf returns the shortest time between two points, which is how much a bar
// stands for.
function stepOf(series: Series[], span: number): number {
  const times = [...new Set(series.flatMap((s) => s.points.map(([t]) => t)))].sort((a, b) => a - b);
  let step = Infinity;
  for (let i = 1; i < times.length; i++) step = Math.min(step, times[i]! - times[i - 1]!);
  return Number.isFinite(step) ? step : span / 24;
}

function chartOptions({ panel, from, to, marks }: Input, series: Series[], step: number, width: number): Options {
  const { muted, line } = ink();
  const custom = panel.fieldConfig?.defaults?.custom ?? {};
  const units = [...new Set(series.map((s) => s.field.config.unit ?? ""))].slice(0, 2);
  const axisOf = (s: Series) => (s.field.config.custom?.axisPlacement === "right" ? 1 : Math.max(units.indexOf(s.field.config.unit ?? ""), 0));
  const right = series.some((s) => axisOf(s) === 1);
  const bars = series.filter((s) => style(s) === "bars");
  const groups = new Set(bars.map((s, i) => stackOf(s) ?? `alone${i}`)).size;
  // A bar begins at its time; its middle is drawn half a step later.
  const shift = bars.length > 0 && (custom.barAlignment ?? 0) === 1 ? step / 2 : 0;
  const end = bars.length > 0 ? Math.max(to, ...bars.map((s) => (s.points.at(-1)?.[0] ?? 0) + (shift ? step : 0))) : to;
  const start = bars.length > 0 ? Math.min(from, ...bars.map((s) => s.points[0]?.[0] ?? from)) : from;
  const barWidth = Math.max(1, Math.min(((width - 60) * step * 0.82) / (end - start) / Math.max(groups, 1), 60));
  const percent = custom.stacking?.mode === "percent";
  const at = ticks(start, end, Math.max(2, Math.floor(width / 75)), isUTC());

  const axis = (i: number) => {
    const of = series.filter((s) => axisOf(s) === i);
    const config = of[0]?.field.config ?? panel.fieldConfig?.defaults ?? {};
    return {
      type: "value",
      position: i === 1 ? "right" : "left",
      min: config.min ?? softMin(of, custom.axisSoftMin),
      max: config.max ?? (percent ? 100 : undefined),
      splitNumber: 4,
      minInterval: config.decimals === 0 && config.unit !== "percentunit" ? 1 : undefined,
      axisLabel: { ...axisText(), formatter: (v: number) => (percent ? `${v}%` : tick(v, config)) },
      splitLine: { show: i === 0, lineStyle: { color: line } },
      axisPointer: { show: false },
    };
  };
  return {
    grid: grid(),
    useUTC: isUTC(),
    xAxis: {
      type: "time",
      min: start,
      max: end,
      axisLabel: { ...axisText(), hideOverlap: true, customValues: at, formatter: (v: number) => writeTick(v, end - start) },
      axisLine: { lineStyle: { color: line } },
      axisTick: { lineStyle: { color: line }, customValues: at },
      splitLine: { show: false },
    },
    yAxis: right ? [axis(0), axis(1)] : axis(0),
    tooltip: tooltip(
      "axis",
      (params) => {
        const time = params[0]?.value?.[2] ?? params[0]?.value?.[0];
        const lines = series
          .flatMap((s) => {
            const value = s.points.find(([t]) => t === time)?.[1];
            return value === null || value === undefined ? [] : [{ value, color: s.color, name: s.field.name, text: show(value, s.field).text }];
          })
          .sort((a, b) => b.value - a.value);
        const near = marks.filter((m) => m.time >= time && m.time < time + step).map((m) => ({ color: color(m.color), name: m.title, text: "" }));
        return tip(writeTime(time, true), [...lines.slice(0, mostInTip), ...near.slice(0, 5)], Math.max(lines.length - mostInTip, 0));
      },
      { type: "line", lineStyle: { color: muted, type: "dashed" } },
    ),
    series: series.map((s, i) => ({
      ...shape(s, percent ? share(series, s) : s.points, shift, barWidth),
      yAxisIndex: right ? axisOf(s) : 0,
      ...(i === 0 ? marked(marks, panel, series) : {}),
    })),
  };
}

const style = (s: Series): string => s.field.config.custom?.drawStyle ?? "line";

function stackOf(s: Series): string | undefined {
  const { mode = "none", group = "A" } = s.field.config.custom?.stacking ?? {};
  return mode === "none" ? undefined : group;
}

// softMin keeps zero, or another number, on the axis unless values are below it.
function softMin(series: Series[], soft: number | undefined): number | ((v: { min: number }) => number) | undefined {
  if (soft === undefined || soft === null) return undefined;
  return series.length === 0 ? soft : ({ min }) => Math.min(soft, min);
}

// share returns the points of a series as percentages of all at the same time.
function share(all: Series[], s: Series): [number, number | null][] {
  const totals = new Map<number, number>();
  for (const other of all) for (const [t, v] of other.points) totals.set(t, (totals.get(t) ?? 0) + Math.abs(v ?? 0));
  return s.points.map(([t, v]) => [t, v === null || !totals.get(t) ? null : (v / totals.get(t)!) * 100]);
}

// shape is a series as its drawStyle says. Each point carries its true time.
function shape(s: Series, points: [number, number | null][], shift: number, barWidth: number): object {
  const custom = s.field.config.custom ?? {};
  const stack = stackOf(s);
  const opacity = (custom.fillOpacity ?? 0) / 100;
  const data = points.map(([t, v]) => [t + (style(s) === "bars" ? shift : 0), v, t]);
  const common = { name: s.field.name, color: s.color, data, ...(stack ? { stack } : {}), encode: { x: 0, y: 1 } };
  if (style(s) === "bars") {
    return { ...common, type: "bar", barWidth, barGap: "10%", itemStyle: { color: s.color }, emphasis: { disabled: true } };
  }
  const interpolation: Record<string, object> = { smooth: { smooth: 0.25, smoothMonotone: "x" }, stepBefore: { step: "start" }, stepAfter: { step: "end" } };
  const few = points.filter(([, v]) => v !== null).length <= 30;
  return {
    ...common,
    type: "line",
    ...interpolation[custom.lineInterpolation ?? "linear"],
    showSymbol: style(s) === "points" || custom.showPoints === "always" || (custom.showPoints !== "never" && few),
    symbol: "circle",
    symbolSize: custom.pointSize ?? 6,
    lineStyle: { width: style(s) === "points" ? 0 : (custom.lineWidth ?? 1), type: custom.lineStyle?.fill === "dash" ? "dashed" : "solid" },
    connectNulls: custom.spanNulls === true || typeof custom.spanNulls === "number",
    emphasis: { disabled: true },
    ...(opacity > 0 ? { areaStyle: { color: fade(s.color, stack ? Math.max(opacity, 0.3) : opacity), origin: "start" } } : {}),
  };
}

// marked draws thresholds and annotations, once for the chart.
function marked(marks: Input["marks"], panel: Input["panel"], series: Series[]): object {
  const lines: object[] = [];
  const { thresholds, custom } = panel.fieldConfig?.defaults ?? {};
  if (["line", "dashed", "line+area"].includes(custom?.thresholdsStyle?.mode)) {
    for (const step of thresholds?.steps ?? []) {
      if (step.value !== null) lines.push({ yAxis: step.value, lineStyle: { color: color(step.color), type: "dashed" }, label: { show: false } });
    }
  }
  for (const mark of marks) {
    lines.push({
      xAxis: mark.time,
      lineStyle: { color: color(mark.color), type: [3, 3], opacity: 0.55 },
      label: { show: false },
    });
  }
  return lines.length > 0 && series.length > 0 ? { markLine: { symbol: "none", silent: true, animation: false, data: lines } } : {};
}

// selectable lets a mouse choose a shorter time by drawing over the chart.
function selectable(chart: Chart, { onZoom }: Input): void {
  chart.ready = (echart) => {
    const box = document.createElement("div");
    box.className = "selection";
    let begin: number | undefined;
    const left = (event: PointerEvent) => event.clientX - chart.element.getBoundingClientRect().left;
    chart.element.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button === 0) begin = left(event);
    });
    chart.element.addEventListener("pointermove", (event) => {
      if (begin === undefined) return;
      if (Math.abs(left(event) - begin) > 4) chart.element.append(box);
      box.style.left = `${Math.min(begin, left(event))}px`;
      box.style.width = `${Math.abs(left(event) - begin)}px`;
    });
    const end = (event: PointerEvent) => {
      if (begin === undefined) return;
      const edges = [begin, left(event)].sort((a, b) => a - b);
      begin = undefined;
      box.remove();
      if (event.type !== "pointerup" || edges[1]! - edges[0]! < 8) return;
      const [from, to] = edges.map((x) => Math.round(Number(echart.convertFromPixel({ xAxisIndex: 0 }, x))));
      onZoom(from!, to!);
    };
    for (const type of ["pointerup", "pointerleave", "pointercancel"] as const) chart.element.addEventListener(type, end);
  };
}
