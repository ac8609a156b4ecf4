// The variables above a dashboard: their values, and the controls to choose them.

import * as api from "./api.ts";
import { dropdown, fill, h } from "./dom.ts";
import type { Variable } from "./model.ts";

export const all = "$__all";

// Values are what is chosen of each variable: one or several texts, or all.
export type Values = Map<string, string[]>;

const closed = ["custom", "interval", "constant"];

// listed reads the options that a file lists: values with commas between them,
// each perhaps as "text : value".
export function listed(variable: Variable): api.Option[] {
  const query = typeof variable.query === "string" ? variable.query : "";
  return query
    .replaceAll("\\,", "\0")
    .split(",")
    .map((item) => item.trim().replaceAll("\0", ","))
    .filter((item) => item !== "")
    .map((item) => {
      const [text, value] = item.split(" : ");
      return { text: text!.trim(), value: (value ?? text!).trim() };
    });
}

// initial returns the value to begin with.
export function initial(variable: Variable): string[] {
  const current = variable.current?.value;
  const texts = current === undefined ? [] : Array.isArray(current) ? current : [current];
  if (texts.length > 0 && texts.every((t) => t !== "")) return texts;
  if (variable.type === "textbox" || variable.type === "constant") return [typeof variable.query === "string" ? variable.query : ""];
  if (variable.includeAll) return [all];
  return closed.includes(variable.type) ? listed(variable).slice(0, 1).map((o) => o.value) : [];
}

// usable are the variables that have a value in queries.
export const usable = (variables: Variable[]) => variables.filter((v) => v.type !== "datasource");

// textOf says what is chosen.
export function textOf(values: string[], options: api.Option[]): string {
  if (values.length === 1 && values[0] === all) return "All";
  const texts = values.map((v) => options.find((o) => o.value === v)?.text ?? v);
  return texts.length > 2 ? `${texts.length} selected` : texts.join(", ");
}

export interface Control {
  element: HTMLElement;
  // refresh asks for the options anew and returns whether another value had to
  // be chosen.
  refresh: () => Promise<boolean>;
}

// control makes the control of a variable. Query is what the options depend on.
export function control(uid: string, variable: Variable, values: Values, query: () => api.Query, changed: () => void): Control {
  const name = variable.label || variable.name;
  const chosen = () => values.get(variable.name) ?? [];
  let options = closed.includes(variable.type) ? listed(variable) : [];
  const description = variable.description ?? "";
  const slot = h("div", { class: "variable", title: description });

  const choose = (next: string[]) => {
    values.set(variable.name, next);
    draw();
    changed();
  };

  function draw(): void {
    if (variable.type === "textbox") fill(slot, label(textbox()));
    else if (variable.multi) fill(slot, h("span", { class: "variable-name" }, name), several());
    else fill(slot, label(one()));
  }

  const label = (input: HTMLElement) => h("label", {}, h("span", { class: "variable-name" }, name), input);

  function textbox(): HTMLElement {
    const input = h("input", {
      type: "search",
      class: "control",
      value: chosen()[0] ?? "",
      placeholder: `Enter ${/^[aeiou]/i.test(name) ? "an" : "a"} ${name.toLowerCase()}`,
      maxlength: 1000,
      autocomplete: "off",
      spellcheck: "false",
      onchange: () => {
        if (input.value.trim() !== chosen()[0]) {
          values.set(variable.name, [input.value.trim()]);
          changed();
        }
      },
    });
    return input;
  }

  function one(): HTMLElement {
    const list = offered();
    const select = h("select", { class: "control", onchange: () => choose([select.value]) }, ...list.map((o) => h("option", { value: o.value, selected: chosen()[0] === o.value }, o.text)));
    return select;
  }

  const offered = () => {
    const list = variable.includeAll ? [{ text: "All", value: all }, ...options] : [...options];
    // What is chosen is there even when nothing returns it any more.
    for (const value of chosen()) if (!list.some((o) => o.value === value)) list.push({ text: value, value });
    return list;
  };

  function several(): HTMLElement {
    const picked = new Set(chosen());
    const root = dropdown([h("span", { class: "ellipsis" }, textOf(chosen(), options) || "None")], `${name}: ${textOf(chosen(), options)}`, () => {
      const list = h("div", { class: "options" });
      const filter = h("input", { type: "search", class: "control", placeholder: "Search", "aria-label": `Search ${name}`, oninput: () => rows() });
      const rows = () => {
        const wanted = filter.value.toLowerCase();
        const matching = offered().filter((o) => o.text.toLowerCase().includes(wanted));
        fill(
          list,
          ...matching.slice(0, 200).map((o) =>
            h(
              "label",
              {},
              h("input", {
                type: "checkbox",
                value: o.value,
                checked: picked.has(o.value),
                onchange: (event: Event) => {
                  const on = (event.target as HTMLInputElement).checked;
                  if (o.value === all) {
                    picked.clear();
                    if (on) picked.add(all);
                  } else {
                    picked.delete(all);
                    if (on) picked.add(o.value);
                    else picked.delete(o.value);
                  }
                  list.querySelectorAll("input").forEach((box) => (box.checked = picked.has(box.value)));
                },
              }),
              h("span", {}, o.text || "(empty)"),
            ),
          ),
          matching.length === 0 && h("p", { class: "muted" }, "Nothing to choose."),
          matching.length > 200 && h("p", { class: "muted" }, `${matching.length - 200} more; search to narrow them down.`),
        );
      };
      rows();
      return h("div", {}, options.length > 8 && filter, list);
    });
    // What was picked counts when the box closes, so that not every tick asks again.
    root.addEventListener("closed", () => {
      const next = picked.size > 0 ? [...picked] : variable.includeAll ? [all] : chosen();
      if (JSON.stringify([...next].sort()) !== JSON.stringify([...chosen()].sort())) choose(next);
    });
    return root;
  }

  async function refresh(): Promise<boolean> {
    if (variable.type !== "query") return false;
    try {
      options = (await api.options(uid, variable.name, query())).options;
      slot.title = description;
    } catch (error) {
      options = [];
      slot.title = (error as Error).message;
    }
    const replaced = chosen().length === 0 && options.length > 0;
    if (replaced) values.set(variable.name, [options[0]!.value]);
    if (!slot.querySelector(".box")) draw(); // Not while a person chooses.
    return replaced;
  }

  draw();
  return { element: slot, refresh };
}
