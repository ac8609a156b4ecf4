// The page: a head with all dashboards, and below it one of them or the list.

import * as api from "./api.ts";
import { Board } from "./board.ts";
import { fill, h, icon } from "./dom.ts";
import * as theme from "./theme.ts";

const uid = decodeURIComponent(/^\/dashboards\/([^/]+)\/?$/.exec(location.pathname)?.[1] ?? "");

theme.apply();
void start();

async function start(): Promise<void> {
  const nav = h("nav", { "aria-label": "Dashboards" });
  const head = h("header", { class: "top" }, h("a", { class: "brand", href: "/dashboards" }, icon("house"), h("span", {}, "Loyaltyhouse")), nav, themeButton());
  fill(document.body, head, h("main", {}, h("p", { class: "say" }, "Loading…")));
  const show = (main: HTMLElement) => document.querySelector("main")!.replaceWith(main);
  try {
    const { dashboards, problem } = await api.list();
    let board: Board | undefined;
    const links = () =>
      fill(
        nav,
        ...dashboards.map((d) => h("a", { href: board ? board.address(d.uid) : `/dashboards/${encodeURIComponent(d.uid)}`, "aria-current": d.uid === uid ? "page" : undefined, title: d.description }, d.title)),
        ...(board?.others() ?? []).map((l) => h("a", { href: l.url, rel: "noreferrer" }, l.title)),
      );
    links();
    if (problem) head.after(h("p", { class: "problem", role: "status" }, problem[0]!.toUpperCase() + problem.slice(1) + "."));
    if (uid === "") {
      document.title = "Dashboards · Loyaltyhouse";
      return show(index(dashboards));
    }
    const model = await api.dashboard(uid);
    document.title = `${model.title} · Loyaltyhouse`;
    board = new Board(model, links);
    show(board.element);
    links();
    nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    theme.onChange(() => board!.redraw());
    await board.load();
  } catch (error) {
    show(h("main", {}, h("p", { class: "say", role: "alert" }, (error as Error).message)));
  }
}

function index(dashboards: api.Entry[]): HTMLElement {
  return h(
    "main",
    { class: "index" },
    h("h1", {}, "Dashboards"),
    h(
      "div",
      { class: "entries" },
      ...dashboards.map((d) =>
        h(
          "a",
          { class: "card entry", href: `/dashboards/${encodeURIComponent(d.uid)}` },
          h("h2", {}, d.title),
          h("p", {}, d.description),
        ),
      ),
    ),
  );
}

function themeButton(): HTMLElement {
  const next = { system: "light", light: "dark", dark: "system" } as const;
  const names = { system: "as the system", light: "light", dark: "dark" };
  const button = h("button", {
    type: "button",
    class: "plain",
    id: "theme",
    onclick: () => {
      theme.choose(next[theme.choice()]);
      draw();
    },
  });
  const draw = () => {
    const name = `Colours: ${names[theme.choice()]}`;
    button.setAttribute("aria-label", name);
    button.title = name;
    fill(button, icon(theme.choice()));
  };
  draw();
  return button;
}
