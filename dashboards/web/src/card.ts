// The card of a panel on the page: its title and description, and what state it
// is in. What is drawn stays until something new is there.

import * as api from "./api.ts";
import { fill, h, icon } from "./dom.ts";
import type { Panel } from "./model.ts";
import { barchart } from "./panels/barchart.ts";
import { bargauge } from "./panels/bargauge.ts";
import { gauge } from "./panels/gauge.ts";
import type { Drawn, Input } from "./panels/panel.ts";
import { pie } from "./panels/pie.ts";
import { stat } from "./panels/stat.ts";
import { table } from "./panels/table.ts";
import { text } from "./panels/text.ts";
import { timeseries } from "./panels/timeseries.ts";

const kinds: Record<string, (input: Input) => Drawn> = { barchart, bargauge, gauge, piechart: pie, stat, table, text, timeseries };

// States a card can be in, for style and tests.
type State = "loading" | "drawn" | "empty" | "error" | "note";

export type Ask = (panel: Panel, width: number, signal: AbortSignal) => Promise<{ frames: api.Frame[]; elapsed_ms: number }>;

// needsPrometheus tells that a panel has no query that can be run here.
export const needsPrometheus = (panel: Panel) => (panel.targets ?? []).some((t) => t.expr && !t.rawSql);

export class Card {
  readonly element: HTMLElement;
  private body = h("div", { class: "body" });
  private note = h("span", { class: "note" });
  private drawn: Drawn | undefined;
  private request: AbortController | undefined;
  private frames: api.Frame[] | undefined;
  private elapsed = 0;
  private hidden = new Set<string>();

  constructor(
    readonly panel: Panel,
    private input: () => Omit<Input, "panel" | "frames" | "hidden">,
  ) {
    const title = input().text(panel.title ?? "");
    this.element = h(
      "section",
      { class: `card ${panel.type}`, "data-panel": panel.id, "data-type": panel.type, "aria-label": title || panel.type },
      (title !== "" || !!panel.description) && h("header", {}, h("h2", { title }, title), this.note, this.about(title)),
      this.body,
    );
    const { x, y, w, h: rows } = panel.gridPos ?? { x: 0, y: 0, w: 24, h: 8 };
    this.element.style.gridColumn = `${x + 1} / span ${w}`;
    this.element.style.gridRow = `${y + 1} / span ${rows}`;
    this.element.style.setProperty("--rows", String(rows));
    this.say("loading");
  }

  // about is the button that tells what the panel shows, and how.
  private about(title: string): HTMLElement | false {
    const { description } = this.panel;
    const queries = (this.panel.targets ?? []).flatMap((t) => (t.rawSql ?? t.expr ? [(t.rawSql ?? t.expr)!] : []));
    if (!description && queries.length === 0) return false;
    const tip = `${this.panel.id}-about`;
    return h(
      "div",
      { class: "about" },
      h("button", { type: "button", class: "plain", "aria-label": `About ${title}`, "aria-describedby": description ? tip : undefined, onclick: () => this.open(title, queries) }, icon("info")),
      description ? h("div", { class: "about-tip", role: "tooltip", id: tip }, this.input().text(description)) : null,
    );
  }

  private open(title: string, queries: string[]): void {
    const rows = (this.frames ?? []).reduce((n, f) => n + f.rows.length, 0);
    const dialog: HTMLDialogElement = h(
      "dialog",
      { "aria-label": title, onclose: () => dialog.remove(), onclick: (event: Event) => event.target === dialog && dialog.close() },
      h("header", {}, h("h2", {}, title), h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))),
      this.panel.description ? h("p", {}, this.input().text(this.panel.description)) : null,
      this.frames ? h("p", { class: "muted" }, `${rows.toLocaleString("en-GB")} ${rows === 1 ? "row" : "rows"} in ${this.elapsed} ms.`) : null,
      ...queries.map((q) => h("pre", { tabindex: 0 }, h("code", {}, q))),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  // load asks for the data and draws it.
  async load(ask: Ask): Promise<void> {
    this.request?.abort();
    const request = (this.request = new AbortController());
    this.element.setAttribute("aria-busy", "true");
    try {
      if (this.panel.type === "text" || !kinds[this.panel.type]) {
        this.frames = [];
      } else if (needsPrometheus(this.panel)) {
        throw new api.Failure("needs_prometheus", "This panel needs Prometheus; see /metrics.");
      } else {
        const { frames, elapsed_ms } = await ask(this.panel, this.body.clientWidth || 400, request.signal);
        this.frames = frames;
        this.elapsed = elapsed_ms;
      }
      this.draw();
    } catch (error) {
      if (request.signal.aborted) return;
      this.fail(error as Error);
    } finally {
      if (this.request === request) this.element.removeAttribute("aria-busy");
    }
  }

  // draw draws what was loaded, also when the colours have changed.
  draw(): void {
    if (!this.frames) return;
    const kind = kinds[this.panel.type];
    if (!kind) return this.say("note", `A panel of the type ${this.panel.type} cannot be drawn here; Grafana can.`);
    let next: Drawn;
    try {
      next = kind({ ...this.input(), panel: this.panel, frames: this.frames, hidden: this.hidden });
    } catch (error) {
      return this.fail(error as Error);
    }
    if (next.empty) return this.say("empty", next.empty);
    const scrolled = [...this.body.querySelectorAll(".table, .legend")].map((e) => e.scrollTop);
    this.show("drawn", next.element);
    this.drawn = next;
    next.mount?.();
    [...this.body.querySelectorAll(".table, .legend")].forEach((e, i) => (e.scrollTop = scrolled[i] ?? 0));
    const cut = this.frames.some((f) => f.truncated);
    fill(this.note, cut ? "More rows than can be shown; the rest is left out" : "");
  }

  private fail(error: Error): void {
    const calm = error instanceof api.Failure && (error.reason === "needs_prometheus" || error.reason === "no_warehouse");
    this.say(calm ? "note" : "error", error.message);
  }

  private say(state: State, message = ""): void {
    fill(this.note);
    this.show(state, state === "loading" ? h("div", { class: "wait", "aria-label": "Loading" }) : h("p", { class: "say", role: state === "error" ? "alert" : undefined }, message));
  }

  private show(state: State, element: HTMLElement): void {
    this.drawn?.close?.();
    this.drawn = undefined;
    this.element.dataset.state = state;
    fill(this.body, element);
  }

  close(): void {
    this.request?.abort();
    this.drawn?.close?.();
  }
}
