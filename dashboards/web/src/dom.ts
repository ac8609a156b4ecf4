// Elements without markup in strings, so that no value can become markup and no
// inline style is needed, which the page's content policy forbids.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | undefined | ((event: any) => void)>;

// h makes an element. Attributes that begin with "on" are listeners; false and
// undefined leave one out.
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  set(element, attributes);
  fill(element, ...children);
  return element;
}

// svg makes an element of a drawing.
export function svg(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  fill(element, ...children);
  return element;
}

function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value);
    } else if (value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

// fill puts children in an element, instead of those that it has.
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((c): c is Node | string => c !== null && c !== undefined && c !== false));
}

const icons: Record<string, string> = {
  back: "M15 5l-7 7 7 7",
  forward: "M9 5l7 7-7 7",
  refresh: "M20 11a8 8 0 1 0-2.300 5.700M20 5v6h-6",
  clock: "M12 7v5l3.500 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  info: "M12 11v5.500M12 7.500v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2.500M12 19.500V22M2 12h2.500M19.500 12H22M5 5l1.700 1.700M17.300 17.300 19 19M5 19l1.700-1.700M17.300 6.700 19 5",
  dark: "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  close: "M6 6l12 12M18 6 6 18",
  down: "M6 9l6 6 6-6",
  house: "M4 11.500 12 5l8 6.500V20H4zM9 16.500v-2.500M12 16.500v-5M15 16.500v-3.500",
};

// icon is a drawing of one line; what it means has to be said elsewhere.
export function icon(name: keyof typeof icons): SVGElement {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: icons[name] }));
}

// dropdown is a button that opens a box below it. The box is made anew each
// time, and gets a function that closes it.
export function dropdown(label: Child[], name: string, content: (close: () => void) => HTMLElement): HTMLElement {
  let box: HTMLElement | undefined;
  const button = h("button", { type: "button", class: "control", "aria-haspopup": "dialog", "aria-expanded": "false", "aria-label": name }, ...label, icon("down"));
  const root = h("div", { class: "dropdown" }, button);

  const outside = (event: Event) => {
    if (!root.contains(event.target as Node)) close();
  };
  const escape = (event: KeyboardEvent) => {
    if (event.key === "Escape") close(true);
  };
  function close(focus = false): void {
    if (!box) return;
    box.remove();
    box = undefined;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
    document.removeEventListener("focusin", outside);
    root.removeEventListener("keydown", escape);
    root.dispatchEvent(new Event("closed"));
    if (focus) button.focus();
  }
  button.addEventListener("click", () => {
    if (box) return close();
    box = h("div", { class: "box", role: "dialog", "aria-label": name }, content(() => close(true)));
    root.append(box);
    if (box.getBoundingClientRect().right > document.documentElement.clientWidth - 8) box.classList.add("left");
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    root.addEventListener("keydown", escape);
    box.querySelector<HTMLElement>("input, button, select")?.focus();
  });
  return root;
}
