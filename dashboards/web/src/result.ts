// Results of queries as fields: long time series made wide, and many values
// reduced to one.

import type { Cell, Frame } from "./api.ts";
import { asNumber, configure, regexp, type Field } from "./field.ts";
import type { Panel } from "./model.ts";

// A table has fields of one length.
export interface Table {
  refId: string;
  fields: Field[];
  length: number;
}

// tables returns the frames as they are.
export const tables = (panel: Panel, frames: Frame[]): Table[] =>
  frames.map((f) => ({
    refId: f.refId,
    length: f.rows.length,
    fields: f.columns.map((c, i) => configure(panel, { column: c.name, type: c.type, labels: {}, refId: f.refId, values: f.rows.map((row) => row[i] ?? null) })),
  }));

// wide returns each frame with a time and a field for each series. In the long
// form, string columns beside the time name the series of a row.
export function wide(panel: Panel, frames: Frame[]): Table[] {
  return tables(panel, frames).map((table, i) => {
    const time = table.fields.findIndex((f) => f.type === "time");
    const names = table.fields.filter((f) => f.type === "string");
    const frame = frames[i]!;
    if (time < 0 || names.length === 0 || !(frame.timeSeries || panel.type === "timeseries")) return table;
    const times = [...new Set(frame.rows.map((row) => row[time]))].filter((t) => t !== null).sort((a, b) => Number(a) - Number(b)) as Cell[];
    const at = new Map(times.map((t, n) => [t, n]));
    const series = new Map<string, Omit<Field, "config" | "name">>();
    const numbers = frame.columns.flatMap((c, n) => (c.type === "number" || c.type === "boolean" ? [n] : []));
    const labels = frame.columns.flatMap((c, n) => (c.type === "string" ? [n] : []));
    for (const row of frame.rows) {
      const place = at.get(row[time] ?? null);
      if (place === undefined) continue;
      for (const n of numbers) {
        const key = JSON.stringify([n, ...labels.map((l) => row[l])]);
        let field = series.get(key);
        if (!field) {
          field = {
            column: frame.columns[n]!.name,
            type: "number",
            refId: frame.refId,
            labels: Object.fromEntries(labels.map((l) => [frame.columns[l]!.name, String(row[l] ?? "")])),
            values: new Array<Cell>(times.length).fill(null),
          };
          series.set(key, field);
        }
        field.values[place] = row[n] ?? null;
      }
    }
    const timeField = configure(panel, { column: frame.columns[time]!.name, type: "time", labels: {}, refId: frame.refId, values: times });
    return { refId: table.refId, length: times.length, fields: [timeField, ...[...series.values()].map((f) => configure(panel, f))] };
  });
}

export const numberFields = (table: Table) => table.fields.filter((f) => f.type === "number");

// isEmpty tells that there is nothing to draw.
export const isEmpty = (all: Table[]) =>
  all.every((t) => t.length === 0 || t.fields.every((f) => f.type !== "number" || f.values.every((v) => v === null)));

type Calculation = (numbers: number[], cells: Cell[]) => Cell;

// The calculations of Grafana that dashboards use, with the names that legends
// give them.
const calculations: Record<string, [title: string, f: Calculation]> = {
  lastNotNull: ["Last", (n) => n.at(-1) ?? null],
  last: ["Last", (_, c) => c.at(-1) ?? null],
  firstNotNull: ["First", (n) => n[0] ?? null],
  first: ["First", (_, c) => c[0] ?? null],
  min: ["Min", (n) => (n.length ? n.reduce((a, b) => Math.min(a, b)) : null)],
  max: ["Max", (n) => (n.length ? n.reduce((a, b) => Math.max(a, b)) : null)],
  mean: ["Mean", (n) => (n.length ? sum(n) / n.length : null)],
  sum: ["Total", (n) => (n.length ? sum(n) : null)],
  count: ["Count", (_, c) => c.length],
  range: ["Range", (n) => (n.length ? n.reduce((a, b) => Math.max(a, b)) - n.reduce((a, b) => Math.min(a, b)) : null)],
  diff: ["Difference", (n) => (n.length ? n.at(-1)! - n[0]! : null)],
  delta: ["Delta", (n) => n.slice(1).reduce((a, v, i) => a + Math.max(v - n[i]!, 0), 0)],
  median: ["Median", (n) => (n.length ? [...n].sort((a, b) => a - b)[n.length >> 1]! : null)],
};

const sum = (n: number[]) => n.reduce((a, b) => a + b, 0);

export const calculationTitle = (id: string) => calculations[id]?.[0] ?? id;

// calculate reduces the values of a field. A number that is too large for a
// number stays a string where it is not calculated with.
export function calculate(field: Field, id: string): Cell {
  const cells = field.values;
  if (id === "lastNotNull" || field.type !== "number") {
    return cells.findLast((c) => c !== null && c !== "") ?? null;
  }
  const numbers = cells.map(asNumber).filter((n) => n !== null);
  const f = calculations[id]?.[1];
  if (!f) throw new Error(`The calculation ${id} is not known here.`);
  return f(numbers, cells);
}

// An Item is one value that a stat, a gauge or a slice shows.
export interface Item {
  name: string;
  cell: Cell;
  field: Field;
  row: number; // of the table, where it is one row's
  history: Cell[]; // what it was reduced from
}

// items returns what a panel with reduceOptions shows: a value per row and
// field, or one per field.
export function items(panel: Panel, frames: Frame[]): Item[] {
  const { values = false, calcs = ["lastNotNull"], fields = "", limit = 200 } = panel.options?.reduceOptions ?? {};
  const all: Item[] = [];
  for (const table of values ? tables(panel, frames) : wide(panel, frames)) {
    const shown = table.fields.filter((f) => wanted(f, fields));
    if (values) {
      const naming = table.fields.find((f) => f.type === "string") ?? table.fields.find((f) => f.type === "time");
      for (let row = 0; row < table.length && all.length < limit; row++) {
        for (const field of shown) {
          const title = naming && naming !== field ? nameOf(naming, row) : field.name;
          const name = shown.length > 1 && naming ? `${title} ${field.name}` : title;
          all.push({ name, cell: field.values[row] ?? null, field, row, history: [] });
        }
      }
    } else {
      for (const field of shown) {
        all.push({ name: field.name, cell: calculate(field, calcs[0] ?? "lastNotNull"), field, row: -1, history: field.values });
      }
    }
  }
  return all;
}

function nameOf(field: Field, row: number): string {
  const cell = field.values[row];
  return cell === null || cell === undefined || cell === "" ? "(none)" : String(cell);
}

// wanted tells whether a field is among those of reduceOptions.fields: numbers, or
// those that a name or a regular expression matches.
function wanted(field: Field, fields: string): boolean {
  if (fields === "") return field.type === "number";
  if (/^\/.*\/$/.test(fields)) return regexp(fields).test(field.name) || regexp(fields).test(field.column);
  return field.name === fields || field.column === fields;
}
