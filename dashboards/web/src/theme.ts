// Light and dark, and the colours of the pictures in both.

export type Choice = "system" | "light" | "dark";

const key = "loyaltyhouse.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

export function choice(): Choice {
  const stored = localStorage.getItem(key);
  return stored === "light" || stored === "dark" ? stored : "system";
}

export function choose(next: Choice): void {
  if (next === "system") localStorage.removeItem(key);
  else localStorage.setItem(key, next);
  apply();
}

export const isDark = () => (choice() === "system" ? system.matches : choice() === "dark");

// onChange calls f when the colours change.
export const onChange = (f: () => void) => listeners.add(f);

export function apply(): void {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  for (const f of listeners) f();
}

system.addEventListener("change", apply);

// Hues have the names that dashboards use, in a light and a dark form: text in
// them can be read on a panel, and neighbours can be told apart.
const hues: Record<string, [light: string, dark: string]> = {
  blue: ["#2f6fce", "#6ea2f0"],
  green: ["#23854f", "#5cc08a"],
  orange: ["#c96310", "#f0995a"],
  purple: ["#7b52c4", "#b296ee"],
  red: ["#cb3347", "#f2727f"],
  yellow: ["#a87900", "#e6bd4f"],
};

// The palette is for series that have no colour of their own, in an order in
// which neighbours differ.
const palette: [light: string, dark: string][] = [
  ["#3274d0", "#6ea2f0"],
  ["#e07b24", "#f0995a"],
  ["#2a9d6f", "#57c49a"],
  ["#8a5fcf", "#b296ee"],
  ["#d4506e", "#f2809a"],
  ["#c39b12", "#e6bd4f"],
  ["#1f9bb3", "#58c1d8"],
  ["#8c6a4f", "#c2a084"],
  ["#6f8f2f", "#a6c860"],
  ["#b14fa8", "#dd8ad5"],
  ["#5a6b85", "#94a5c0"],
  ["#c0504d", "#e88f8c"],
];

const shade = (pair: [string, string]) => pair[isDark() ? 1 : 0];

// color returns the colour that a dashboard names: one of its names, of which
// dark-, light-, semi-dark- and super-light- are shades, or what CSS knows.
export function color(name: string | undefined): string {
  if (!name || name === "text") return ink().text;
  if (name === "transparent") return "transparent";
  const m = /^(?:(super-light|light|semi-dark|dark)-)?(\w+)$/.exec(name);
  const hue = m && hues[m[2]!];
  if (!hue) return name;
  const amount = { "super-light": 0.45, light: 0.22, "semi-dark": -0.14, dark: -0.28 }[m[1] ?? ""] ?? 0;
  return mix(shade(hue), amount < 0 ? "#000000" : "#ffffff", Math.abs(amount));
}

// paletteColor goes through the palette, and then through it again in other shades.
export function paletteColor(i: number): string {
  const base = shade(palette[i % palette.length]!);
  const turn = Math.floor(i / palette.length) % 3;
  return turn === 0 ? base : turn === 1 ? mix(base, "#ffffff", 0.4) : mix(base, "#000000", 0.35);
}

export const paletteSize = palette.length;

// The first colours of continuous schemes: from little to much.
const schemes: Record<string, string[]> = {
  "continuous-GrYlRd": ["green", "yellow", "red"],
  "continuous-RdYlGr": ["red", "yellow", "green"],
  "continuous-BlYlRd": ["blue", "yellow", "red"],
  "continuous-YlRd": ["yellow", "red"],
  "continuous-BlPu": ["blue", "purple"],
  "continuous-YlBl": ["yellow", "blue"],
  "continuous-blues": ["surface", "blue"],
  "continuous-reds": ["surface", "red"],
  "continuous-greens": ["surface", "green"],
  "continuous-purples": ["surface", "purple"],
};

// continuous returns the colour of a share between 0 and 1.
export function continuous(mode: string, share: number): string {
  const stops = (schemes[mode] ?? schemes["continuous-GrYlRd"]!).map((name) => (name === "surface" ? ink().surface : color(name)));
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return mix(stops[i]!, stops[i + 1]!, at - i);
}

// mix returns a, with a part of b in it.
export function mix(a: string, b: string, part: number): string {
  const [x, y] = [channels(a), channels(b)];
  return "#" + x.map((v, i) => Math.round(v + (y[i]! - v) * part).toString(16).padStart(2, "0")).join("");
}

// fade makes a colour transparent.
export const fade = (c: string, opacity: number) => `rgba(${channels(c).join(", ")}, ${opacity})`;

// readable returns the ink for text on a colour.
export function readable(background: string): string {
  const linear = channels(background).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0]! + 0.7152 * linear[1]! + 0.0722 * linear[2]! > 0.3 ? "#14181f" : "#ffffff";
}

function channels(c: string): number[] {
  if (/^#[0-9a-f]{3}$/i.test(c)) c = "#" + [...c.slice(1)].map((d) => d + d).join("");
  if (/^#[0-9a-f]{6}/i.test(c)) return [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16));
  return (c.match(/[\d.]+/g) ?? ["128", "128", "128"]).slice(0, 3).map(Number);
}

// ink has the colours of text and lines, as the style sheet has them.
export const ink = () =>
  isDark()
    ? { text: "#e8ebf1", muted: "#9aa3b2", line: "#2c333f", surface: "#181c23", page: "#101318" }
    : { text: "#1b2330", muted: "#5c6675", line: "#e3e7ed", surface: "#ffffff", page: "#f4f6f9" };
