// The panel gauge: a dial for each value.

import { Chart, fontFamily, type Options } from "../chart.ts";
import { asNumber, bounds, colorOf, show, type Field } from "../field.ts";
import { h } from "../dom.ts";
import { items, type Item } from "../result.ts";
import { ink } from "../theme.ts";
import { empty, type Drawn, type Input } from "./panel.ts";

export function gauge({ panel, frames }: Input): Drawn {
  const all = items(panel, frames);
  if (all.length === 0) return empty(panel);
  const charts = all.map((item) => ({ item, chart: new Chart(`${item.name}: ${show(item.cell, item.field).text}`) }));
  const element = h("div", { class: "gauges" }, ...charts.map(({ chart }) => chart.element));
  return {
    element,
    mount: () => charts.forEach(({ item, chart }, i) => chart.show((w, h) => dial(item, i, all.length > 1, w, h))),
    close: () => charts.forEach(({ chart }) => chart.close()),
  };
}

// scale is from 0 to 100 where the field does not say.
const scale = (field: Field): [number, number] => [field.config.min ?? 0, field.config.max ?? Math.max(100, bounds(field)[1])];

function dial(item: Item, index: number, named: boolean, width: number, height: number): Options {
  const { text, muted, line } = ink();
  const [min, max] = scale(item.field);
  const number = asNumber(item.cell);
  const tint = colorOf(number, item.field, index, [min, max]);
  // A half circle of this radius fills the room.
  const radius = Math.max(24, Math.min(width / 2 - 8, height - (named ? 34 : 16)));
  const thick = Math.max(8, radius * 0.2);
  return {
    series: [
      {
        type: "gauge",
        startAngle: 180,
        endAngle: 0,
        min,
        max,
        radius,
        center: ["50%", (height + radius) / 2 - (named ? 12 : 2)],
        progress: { show: number !== null, width: thick, itemStyle: { color: tint }, roundCap: false },
        axisLine: { lineStyle: { width: thick, color: [[1, line]] } },
        axisTick: { show: false },
        splitLine: { show: false },
        axisLabel: { show: false },
        pointer: { show: false },
        anchor: { show: false },
        title: { show: named, offsetCenter: [0, 14], color: muted, fontSize: 12, fontFamily },
        detail: {
          offsetCenter: [0, -radius * 0.16],
          fontSize: Math.max(13, Math.min(radius * 0.32, 34)),
          fontWeight: 600,
          fontFamily,
          color: number === null ? muted : text,
          formatter: () => show(item.cell, item.field).text,
        },
        data: [{ value: number ?? min, name: item.name }],
      },
    ],
  };
}
