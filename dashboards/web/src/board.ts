// A dashboard: its variables, its time and its panels, all of which the address
// has too, in Grafana's words.

import * as api from "./api.ts";
import { Card, needsPrometheus } from "./card.ts";
import { fill, h } from "./dom.ts";
import type { Dashboard, Link, Panel } from "./model.ts";
import type { Mark } from "./panels/panel.ts";
import { picker, refresher } from "./picker.ts";
import { isUTC, resolve, setZone, spanOf, type Range } from "./time.ts";
import { control, initial, listed, textOf, usable, type Control, type Values } from "./variables.ts";

// rowsOf returns the panels without rows, those in collapsed rows opened and what
// is below them moved down.
export function layout(panels: Panel[]): { panels: Panel[]; rows: Panel[] } {
  const flat: Panel[] = [];
  const rows: Panel[] = [];
  let down = 0;
  for (const panel of [...panels].sort((a, b) => (a.gridPos?.y ?? 0) - (b.gridPos?.y ?? 0) || (a.gridPos?.x ?? 0) - (b.gridPos?.x ?? 0))) {
    const at = { x: 0, y: 0, w: 24, h: 8, ...panel.gridPos };
    const moved = { ...panel, gridPos: { ...at, y: at.y + down } };
    if (panel.type !== "row") {
      flat.push(moved);
      continue;
    }
    rows.push(moved);
    const inside = panel.panels ?? [];
    const top = Math.min(...inside.map((p) => p.gridPos?.y ?? 0));
    let bottom = 0;
    for (const p of inside) {
      const pos = { x: 0, y: 0, w: 24, h: 8, ...p.gridPos };
      bottom = Math.max(bottom, pos.y - top + pos.h);
      flat.push({ ...p, gridPos: { ...pos, y: moved.gridPos.y + 1 + pos.y - top } });
    }
    down += bottom;
  }
  return { panels: flat, rows };
}

export class Board {
  readonly element = h("main", { id: "board" });
  private range: Range;
  private every: string;
  private values: Values = new Map();
  private controls: Control[] = [];
  private cards: Card[] = [];
  private marks: Mark[] = [];
  private tools = h("div", { class: "tools" });
  private timer: number | undefined;
  private round = 0;
  private ends = { from: 0, to: 0 };

  constructor(
    private model: Dashboard,
    private navigated: () => void,
  ) {
    setZone(model.timezone);
    const address = new URLSearchParams(location.search);
    this.range = { from: address.get("from") || model.time?.from || "now-30d", to: address.get("to") || model.time?.to || "now" };
    if (!(this.resolved().from < this.resolved().to)) this.range = { from: "now-30d", to: "now" };
    this.every = address.get("refresh") ?? model.refresh ?? "";
    this.ends = this.resolved();
    for (const v of this.variables()) {
      const given = address.getAll(`var-${v.name}`);
      this.values.set(v.name, given.length > 0 ? given : initial(v));
    }
    this.controls = this.variables()
      .filter((v) => v.hide !== 2 && v.type !== "constant")
      .map((v) => control(model.uid, v, this.values, () => this.query(), () => this.change()));

    const { panels, rows } = layout(model.panels ?? []);
    this.cards = panels.map((p) => new Card(p, () => this.input()));
    const headings = rows.map((row) => {
      const heading = h("h2", { class: "row" }, this.text(row.title ?? ""));
      heading.style.gridRow = String((row.gridPos?.y ?? 0) + 1);
      return heading;
    });
    fill(
      this.element,
      panels.some(needsPrometheus) &&
        h(
          "p",
          { class: "problem" },
          "This dashboard reads Prometheus, which keeps the history of the connector's metrics. Add it to Grafana to see the panels. What the metrics are now is at ",
          h("a", { href: "/metrics" }, "/metrics"),
          ".",
        ),
      h("div", { class: "bar-top" }, h("div", { class: "variables" }, ...this.controls.map((c) => c.element)), this.tools),
      h("div", { class: "grid" }, ...headings, ...this.cards.map((c) => c.element)),
    );
    this.drawTools();
  }

  private variables = () => usable(this.model.templating?.list ?? []);

  private resolved = () => ({ from: resolve(this.range.from, false, isUTC()), to: resolve(this.range.to, true, isUTC()) });

  private drawTools(): void {
    fill(
      this.tools,
      picker(this.range, (range) => this.setRange(range)),
      refresher(this.every, (every) => ((this.every = every), this.remember(), this.schedule()), () => void this.load()),
    );
  }

  private setRange(range: Range): void {
    this.range = range;
    this.drawTools();
    this.change();
  }

  // query is what every question to the connector has in common.
  private query(): api.Query {
    const query = new URLSearchParams({ from: String(this.ends.from), to: String(this.ends.to) });
    for (const [name, texts] of this.values) for (const text of texts) query.append(`var-${name}`, text);
    return query;
  }

  private input() {
    return {
      ...this.ends,
      marks: this.marks,
      text: (template: string) => this.text(template),
      href: (link: Link, value: { raw: string; text: string; row: Record<string, string> }) => this.href(link, value),
      onZoom: (from: number, to: number) => this.setRange({ from: String(from), to: String(to) }),
    };
  }

  private change(): void {
    this.remember();
    void this.load();
  }

  // address is where another dashboard is shown with the same time and variables.
  address(uid: string): string {
    return `/dashboards/${encodeURIComponent(uid)}?${this.state()}`;
  }

  private state(): URLSearchParams {
    const state = new URLSearchParams({ from: this.range.from, to: this.range.to });
    if (this.every !== (this.model.refresh ?? "")) state.set("refresh", this.every);
    for (const [name, texts] of this.values) for (const text of texts) state.append(`var-${name}`, text);
    return state;
  }

  private remember(): void {
    history.replaceState(null, "", this.address(this.model.uid));
    this.navigated();
  }

  // text replaces variables in titles and texts.
  private text(template: string): string {
    return template.replace(/\$\{(\w+)(?::[^}]*)?\}|\$([A-Za-z]\w*)|\[\[(\w+)\]\]/g, (whole, a, b, c) => {
      const variable = this.variables().find((v) => v.name === (a ?? b ?? c));
      return variable ? textOf(this.values.get(variable.name) ?? [], listed(variable)) : whole;
    });
  }

  // href is where a link of a field leads: what a dashboard calls /d/uid is here.
  private href(link: Link, value: { raw: string; text: string; row: Record<string, string> }): string {
    const encode = (text: string) => encodeURIComponent(text);
    const time = new URLSearchParams({ from: this.range.from, to: this.range.to }).toString();
    const variables = [...this.values].flatMap(([n, texts]) => texts.map((t) => `var-${n}=${encode(t)}`)).join("&");
    let url = (link.url ?? "")
      .replace(/\$\{__url_time_range\}/g, time)
      .replace(/\$\{__all_variables\}/g, variables)
      .replace(/\$\{__value\.(raw|text|numeric)(?::\w+)?\}/g, (_, part) => encode(part === "text" ? value.text : value.raw))
      .replace(/\$\{__data\.fields(?:\.(\w+)|\["?([^"\]]+)"?\])(?::\w+)?\}/g, (_, a, b) => encode(value.row[a ?? b] ?? ""))
      .replace(/\$\{(\w+):queryparam\}/g, (_, n) => (this.values.get(n) ?? []).map((t) => `var-${n}=${encode(t)}`).join("&"))
      .replace(/\$\{(\w+)(?::\w+)?\}/g, (whole, n) => (this.values.has(n) ? encode(this.values.get(n)!.join(",")) : whole));
    const local = /^\/d\/([^/?#]+)(?:\/[^?#]*)?(\?[^#]*)?/.exec(url);
    if (local) {
      const query = new URLSearchParams(local[2] ?? "");
      if (link.keepTime) for (const [k, v] of new URLSearchParams(time)) query.set(k, v);
      url = `/dashboards/${local[1]}?${query}`;
    }
    return /^(https?:|\/|#|\?)/i.test(url) ? url : "#";
  }

  // links of the dashboard that lead elsewhere than to another dashboard.
  others = () => (this.model.links ?? []).filter((l) => l.url && !l.url.startsWith("/d/")).map((l) => ({ title: l.title ?? l.url!, url: this.href(l, { raw: "", text: "", row: {} }) }));

  // load asks for everything: the options first, for a panel depends on them.
  async load(): Promise<void> {
    const round = ++this.round;
    clearTimeout(this.timer);
    this.ends = this.resolved();
    this.element.dataset.loading = "true";
    for (const c of this.controls) if (await c.refresh()) this.remember();
    if (round !== this.round) return;
    const query = this.query();
    this.marks = await this.annotate(query);
    if (round !== this.round) return;
    await Promise.all(
      this.cards.map((card) =>
        card.load((panel, width, signal) => {
          const asked = new URLSearchParams(query);
          asked.set("points", String(Math.max(20, Math.round(width / 4))));
          return api.panel(this.model.uid, panel.id, asked, signal);
        }),
      ),
    );
    if (round !== this.round) return;
    delete this.element.dataset.loading;
    this.element.dataset.loaded = String(round);
    this.schedule();
  }

  private async annotate(query: api.Query): Promise<Mark[]> {
    const enabled = (this.model.annotations?.list ?? []).filter((a) => a.enable && a.target);
    if (enabled.length === 0) return [];
    const colors = new Map(enabled.map((a) => [a.name, a.iconColor]));
    try {
      const { frames } = await api.annotations(this.model.uid, query, new AbortController().signal);
      return frames.flatMap((f) => {
        const at = (name: string) => f.columns.findIndex((c) => c.name === name);
        const [time, title, text] = [f.columns.findIndex((c) => c.type === "time"), at("title"), at("text")];
        return f.rows.flatMap((row) => (time >= 0 && row[time] !== null ? [{ time: Number(row[time]), title: String(row[title] ?? row[text] ?? f.refId), color: colors.get(f.refId) ?? "blue" }] : []));
      });
    } catch {
      return []; // The panels, which read the same warehouse, say what is wrong.
    }
  }

  // schedule waits for the next refresh; a page that nobody sees does not ask.
  private schedule(): void {
    clearTimeout(this.timer);
    const span = spanOf(this.every);
    if (span === 0) return;
    this.timer = window.setTimeout(() => {
      if (document.hidden) document.addEventListener("visibilitychange", () => void this.load(), { once: true });
      else void this.load();
    }, span);
  }

  redraw(): void {
    for (const card of this.cards) card.draw();
  }
}

