// How a field of a result is to look: its unit, colour and name, as a panel's
// fieldConfig says, with its overrides.

import type { FieldConfig, Link, Mapping, MappingResult, Panel } from "./model.ts";
import { color, continuous, paletteColor, paletteSize } from "./theme.ts";
import { write, compact } from "./units.ts";
import { writeTime } from "./time.ts";
import type { Cell } from "./api.ts";

export type FieldType = "number" | "time" | "boolean" | "string";

export interface Field {
  name: string; // as it is shown
  column: string; // as the query has it
  type: FieldType;
  labels: Record<string, string>;
  refId: string;
  config: FieldConfig;
  values: Cell[];
}

// configure gives a field its configuration and the name that is shown.
export function configure(panel: Panel, field: Omit<Field, "config" | "name">): Field {
  const labels = Object.values(field.labels);
  const plain = labels.length > 0 ? labels.join(" ") : field.column;
  const config: FieldConfig = { ...panel.fieldConfig?.defaults, custom: { ...panel.fieldConfig?.defaults?.custom } };
  const named = () => displayName(config.displayName, field.column, field.labels) || plain;
  for (const { matcher, properties } of panel.fieldConfig?.overrides ?? []) {
    if (matches(matcher, field, named())) {
      for (const { id, value } of properties ?? []) put(config, id, value);
    }
  }
  return { ...field, name: named(), config };
}

function displayName(pattern: string | undefined, column: string, labels: Record<string, string>): string {
  return (pattern ?? "")
    .replace(/\$\{__field\.labels\.(\w+)\}/g, (_, label) => labels[label] ?? "")
    .replace(/\$\{__field\.labels\}/g, Object.values(labels).join(" "))
    .replace(/\$\{__field\.(?:name|displayName)\}/g, column);
}

function matches(matcher: { id: string; options?: any }, field: Omit<Field, "config" | "name">, name: string): boolean {
  const { id, options } = matcher;
  switch (id) {
    case "byName":
      return options === name || options === field.column;
    case "byNames":
      return (options?.names ?? []).some((n: string) => n === name || n === field.column);
    case "byRegexp":
      return regexp(options).test(name);
    case "byType":
      return options === field.type;
    case "byFrameRefID":
      return options === field.refId;
    default:
      return false;
  }
}

// regexp reads a regular expression, which may stand between slashes.
export function regexp(text: string): RegExp {
  const m = /^\/(.*)\/([a-z]*)$/.exec(text);
  return m ? new RegExp(m[1]!, m[2]!.replace("g", "")) : new RegExp(text);
}

// put sets a property such as unit or custom.width.
function put(config: any, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop()!;
  for (const key of keys) config = config[key] = { ...config[key] };
  config[last] = value;
}

// asNumber returns a cell as a number, or null.
export function asNumber(cell: Cell | undefined): number | null {
  if (cell === null || cell === undefined || cell === "") return null;
  const n = typeof cell === "boolean" ? Number(cell) : Number(cell);
  return Number.isFinite(n) ? n : null;
}

export interface Shown {
  text: string;
  color?: string; // only where a mapping says so
}

// show returns a cell as text.
export function show(cell: Cell | undefined, field: Pick<Field, "config" | "type">): Shown {
  const { config, type } = field;
  const mapped = mapping(cell ?? null, config.mappings);
  if (mapped) {
    const text = mapped.text ?? plain(cell ?? null, type, config);
    return mapped.color ? { text, color: color(mapped.color) } : { text };
  }
  return { text: plain(cell ?? null, type, config) };
}

function plain(cell: Cell, type: FieldType, config: FieldConfig): string {
  if (cell === null || cell === "") return config.noValue ?? "";
  if (type === "time") return writeTime(Number(cell), true);
  if (type === "number") return write(cell as number | string, config.unit, config.decimals);
  if (type === "boolean") return cell ? "Yes" : "No";
  return String(cell);
}

// tick returns a number as an axis shows it.
export const tick = (n: number, config: FieldConfig) => compact(n, config.unit, config.decimals);

function mapping(cell: Cell, mappings: Mapping[] | undefined): MappingResult | undefined {
  const n = asNumber(cell);
  for (const { type, options } of mappings ?? []) {
    switch (type) {
      case "value":
        if (cell !== null && options[String(cell)]) return options[String(cell)];
        break;
      case "range":
        if (n !== null && n >= (options.from ?? -Infinity) && n <= (options.to ?? Infinity)) return options.result;
        break;
      case "regex":
        if (typeof cell === "string" && regexp(options.pattern).test(cell)) return options.result;
        break;
      case "special": {
        const empty = cell === "";
        const is: Record<string, boolean> = {
          null: cell === null, nan: cell === null, "null+nan": cell === null, true: cell === true, false: cell === false, empty,
        };
        if (is[options.match]) return options.result;
        break;
      }
    }
  }
  return undefined;
}

// bounds returns the least and the largest number of a field, which may be
// configured.
export function bounds(field: Field): [number, number] {
  let [least, most] = [Infinity, -Infinity];
  for (const cell of field.values) {
    const n = asNumber(cell);
    if (n === null) continue;
    least = Math.min(least, n);
    most = Math.max(most, n);
  }
  return [field.config.min ?? (Number.isFinite(least) ? least : 0), field.config.max ?? (Number.isFinite(most) ? most : 0)];
}

// colorOf returns the colour of a value of a field; index is the field's place
// among those of the panel.
export function colorOf(value: number | null, field: Field, index: number, range: [number, number]): string {
  const mapped = mapping(value, field.config.mappings)?.color;
  if (mapped) return color(mapped);
  const { mode = "thresholds", fixedColor } = field.config.color ?? {};
  if (mode === "fixed" || mode === "shades") return color(fixedColor);
  if (mode.startsWith("palette")) return paletteColor(index);
  const share = value === null || range[1] <= range[0] ? 0 : (value - range[0]) / (range[1] - range[0]);
  if (mode.startsWith("continuous")) return continuous(mode, share);
  return thresholdColor(value, share, field.config);
}

function thresholdColor(value: number | null, share: number, config: FieldConfig): string {
  const steps = config.thresholds?.steps ?? [];
  const at = config.thresholds?.mode === "percentage" ? share * 100 : value;
  let name = steps[0]?.color ?? "green";
  for (const step of steps) {
    if (step.value === null || step.value === undefined || (at !== null && at >= step.value)) name = step.color;
  }
  return color(name);
}

// usesThresholds tells whether colour is by value.
export const usesThresholds = (config: FieldConfig) => (config.color?.mode ?? "thresholds") === "thresholds";

// paletteIndexes returns the place in the palette of each name, the weightiest
// first. With byName a name has the same place in every panel; where two meet, the
// weightier keeps it.
export function paletteIndexes(names: string[], byName: boolean): Map<string, number> {
  const places = new Map<string, number>();
  if (!byName) {
    for (const name of names) if (!places.has(name)) places.set(name, places.size);
    return places;
  }
  const taken = new Set<number>();
  for (const name of names) {
    if (places.has(name)) continue;
    let hash = 7;
    for (const c of name) hash = (hash * 31 + c.codePointAt(0)!) >>> 0;
    // When all colours are taken, the other shades of them follow.
    const turn = Math.floor(taken.size / paletteSize) * paletteSize;
    let place = turn + (hash % paletteSize);
    while (taken.has(place)) place = turn + ((place + 1) % paletteSize);
    taken.add(place);
    places.set(name, place);
  }
  return places;
}

export type { Link };
