// What a panel is drawn from, and what drawing returns.

import type { Frame } from "../api.ts";
import type { Link, Panel } from "../model.ts";

export interface Mark {
  time: number;
  title: string;
  color: string;
}

export interface Input {
  panel: Panel;
  frames: Frame[];
  from: number;
  to: number;
  marks: Mark[];
  hidden: Set<string>; // series that a person has hidden
  text: (template: string) => string; // with variables replaced
  href: (link: Link, value: { raw: string; text: string; row: Record<string, string> }) => string;
  onZoom: (from: number, to: number) => void;
}

export interface Drawn {
  element: HTMLElement;
  mount?: () => void; // called when the element is on the page
  close?: () => void;
  empty?: string; // what to say instead of a picture
}

// empty says that there is nothing to draw, in the panel's own words if it has some.
export function empty(panel: Panel): Drawn {
  const own = panel.fieldConfig?.defaults?.noValue ?? "";
  return { element: document.createElement("div"), empty: own.includes(" ") ? own : "No data in this time range" };
}
