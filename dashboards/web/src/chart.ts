// Apache ECharts with the parts that are used, and what all charts have in common.

import { BarChart, GaugeChart, LineChart, PieChart } from "echarts/charts";
import { GridComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { init, use, type EChartsType } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { h } from "./dom.ts";
import { ink } from "./theme.ts";

use([BarChart, GaugeChart, LineChart, PieChart, GridComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);

export type Options = Parameters<EChartsType["setOption"]>[0];

export const fontFamily = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif';

// A Chart fills an element and follows its size.
export class Chart {
  readonly element: HTMLElement;
  private chart: EChartsType | undefined;
  private options: ((width: number, height: number) => Options) | undefined;
  private observer: ResizeObserver;

  constructor(label: string) {
    this.element = h("div", { class: "chart", role: "img", "aria-label": label });
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.element);
  }

  // show draws; the options can depend on the size, and are asked for again when
  // it changes.
  show(options: (width: number, height: number) => Options): void {
    this.options = options;
    this.draw();
  }

  private draw(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!this.options || width === 0 || height === 0) return;
    if (!this.chart) {
      this.chart = init(this.element, null, { renderer: "canvas" });
      this.ready?.(this.chart);
    } else {
      this.chart.resize();
    }
    this.chart.setOption({ animation: false, textStyle: { fontFamily, color: ink().text }, ...(this.options(width, height) as object) }, { notMerge: true });
  }

  // ready is called once, with the chart itself.
  ready: ((chart: EChartsType) => void) | undefined;

  close(): void {
    this.observer.disconnect();
    this.chart?.dispose();
  }
}

// axisText is how all axes write.
export const axisText = () => ({ color: ink().muted, fontSize: 11, fontFamily });

export const grid = () => ({ left: 4, right: 12, top: 12, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" });

// tooltip is the box that follows the pointer; content makes its inside.
export function tooltip(trigger: "axis" | "item", content: (params: any) => HTMLElement, pointer?: object): object {
  const { surface, line, text } = ink();
  return {
    trigger,
    confine: true,
    transitionDuration: 0,
    backgroundColor: surface,
    borderColor: line,
    borderWidth: 1,
    padding: 10,
    textStyle: { color: text, fontSize: 12, fontFamily },
    className: "tip",
    ...(pointer ? { axisPointer: pointer } : {}),
    formatter: (params: any) => content(params),
  };
}

export interface TipLine {
  color?: string;
  name: string;
  text: string;
}

// tip is the inside of a tooltip: a title, and lines of names and values.
export function tip(title: string, lines: TipLine[], more = 0): HTMLElement {
  return h(
    "div",
    { class: "tip-inside" },
    title !== "" && h("strong", {}, title),
    ...lines.map(({ color, name, text }) => h("div", { class: "tip-line" }, color ? dot(color) : null, h("span", { class: "tip-name" }, name), h("b", {}, text))),
    more > 0 && h("div", { class: "muted" }, `and ${more} more`),
  );
}

// dot is the mark of a series' colour.
export function dot(color: string): HTMLElement {
  const mark = h("i", { class: "dot" });
  mark.style.background = color;
  return mark;
}
