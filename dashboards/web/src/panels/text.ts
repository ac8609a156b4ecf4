// The panel text, in the part of Markdown that dashboards use.

import { h } from "../dom.ts";
import type { Drawn, Input } from "./panel.ts";

export function text({ panel, text: replace, href }: Input): Drawn {
  const element = h("div", { class: "words" });
  const content: string = replace(panel.options?.content ?? "");
  const blocks = panel.options?.mode === "markdown" || !panel.options?.mode ? content.split(/\n\s*\n/) : [content];
  for (const block of blocks) element.append(...paragraph(block.trim(), (url) => href({ url }, { raw: "", text: "", row: {} })));
  return { element };
}

function paragraph(block: string, href: (url: string) => string): HTMLElement[] {
  const lines = block.split("\n");
  const heading = /^(#{1,6})\s+(.*)$/.exec(lines[0] ?? "");
  if (heading) {
    const tag = `h${Math.min(heading[1]!.length + 2, 6)}` as "h3";
    const rest = lines.slice(1).join("\n").trim();
    return [h(tag, {}, ...inline(heading[2]!, href)), ...(rest ? paragraph(rest, href) : [])];
  }
  if (lines.every((l) => /^\s*([-*]|\d+\.)\s+/.test(l))) {
    const tag = /^\s*\d/.test(lines[0]!) ? "ol" : "ul";
    return [h(tag, {}, ...lines.map((l) => h("li", {}, ...inline(l.replace(/^\s*([-*]|\d+\.)\s+/, ""), href))))];
  }
  return block === "" ? [] : [h("p", {}, ...inline(lines.join(" "), href))];
}

// inline reads `code`, **strong**, *emphasis* and [links](url).
function inline(text: string, href: (url: string) => string): (Node | string)[] {
  const nodes: (Node | string)[] = [];
  let last = 0;
  for (const m of text.matchAll(/`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\(([^)\s]+)\)/g)) {
    nodes.push(text.slice(last, m.index));
    if (m[1]) nodes.push(h("code", {}, m[1]));
    else if (m[2]) nodes.push(h("strong", {}, m[2]));
    else if (m[3]) nodes.push(h("em", {}, m[3]));
    else nodes.push(h("a", { href: href(m[5]!) }, m[4]!));
    last = m.index + m[0].length;
  }
  nodes.push(text.slice(last));
  return nodes;
}
