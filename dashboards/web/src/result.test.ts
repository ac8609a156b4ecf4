import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "./api.ts";
import type { Panel } from "./model.ts";

// The colours ask the browser whether it is dark.
Object.assign(globalThis, {
  matchMedia: () => ({ matches: false, addEventListener: () => undefined }),
  localStorage: { getItem: () => null },
});
const { items, wide, calculate, isEmpty, tables } = await import("./result.ts");
const { show, colorOf, paletteIndexes } = await import("./field.ts");

const frame = (columns: string, rows: Frame["rows"], timeSeries = false): Frame => ({
  refId: "A",
  timeSeries,
  truncated: false,
  columns: columns.split(" ").map((c) => {
    const [name, type] = c.split(":") as [string, Frame["columns"][number]["type"]];
    return { name, type };
  }),
  rows,
});

const panel = (more: Partial<Panel>): Panel => ({ id: 1, type: "stat", ...more });

test("long time series become wide", () => {
  const [table] = wide(panel({ type: "timeseries", fieldConfig: { defaults: { displayName: "${__field.labels.scene}" } } }), [
    frame("time:time scene:string points:number", [[2, "b", 20], [1, "a", 10], [1, "b", "9007199254740993"], [3, "a", null]], true),
  ]);
  assert.deepEqual(
    table!.fields.map((f) => [f.name, f.values]),
    [
      ["time", [1, 2, 3]],
      ["b", ["9007199254740993", 20, null]],
      ["a", [10, null, null]],
    ],
  );
});

test("wide time series stay as they are", () => {
  const [table] = wide(panel({ type: "timeseries" }), [frame("time:time a:number b:number", [[1, 2, 3]], true)]);
  assert.deepEqual(table!.fields.map((f) => f.name), ["time", "a", "b"]);
});

test("calculations", () => {
  const [{ fields: [field] } = { fields: [] }] = tables(panel({}), [frame("v:number", [[null], [4], [1], [7], [null]])]);
  for (const [id, want] of [["lastNotNull", 7], ["last", null], ["firstNotNull", 4], ["min", 1], ["max", 7], ["mean", 4], ["sum", 12], ["count", 5], ["range", 6], ["diff", 3], ["delta", 6], ["median", 4]] as const) {
    assert.equal(calculate(field!, id), want, id);
  }
});

test("items", () => {
  const frames = [frame("shop:string points:number events:number", [["x", 1, 2], ["y", 3, 4]])];
  const names = (options: object) => items(panel({ options }), frames).map((i) => [i.name, i.cell]);
  assert.deepEqual(names({}), [["points", 3], ["events", 4]]);
  assert.deepEqual(names({ reduceOptions: { calcs: ["sum"], fields: "events" } }), [["events", 6]]);
  assert.deepEqual(names({ reduceOptions: { values: true, fields: "/^points$/" } }), [["x", 1], ["y", 3]]);
  assert.deepEqual(names({ reduceOptions: { values: true, fields: "" } }), [["x points", 1], ["x events", 2], ["y points", 3], ["y events", 4]]);
});

test("emptiness", () => {
  assert.ok(isEmpty(tables(panel({}), [])));
  assert.ok(isEmpty(tables(panel({}), [frame("v:number", [[null]])])));
  assert.ok(!isEmpty(tables(panel({}), [frame("v:number", [[0]])])));
});

test("overrides, mappings, thresholds", () => {
  const p = panel({
    fieldConfig: {
      defaults: {
        unit: "locale",
        noValue: "–",
        thresholds: { mode: "absolute", steps: [{ value: null, color: "#00ff00" }, { value: 5, color: "#ff0000" }] },
        mappings: [
          { type: "value", options: { "3": { text: "three", color: "#0000ff" } } },
          { type: "range", options: { from: 100, to: 200, result: { text: "hundreds" } } },
          { type: "special", options: { match: "true", result: { text: "on" } } },
        ],
      },
      overrides: [
        { matcher: { id: "byName", options: "share" }, properties: [{ id: "unit", value: "percentunit" }, { id: "decimals", value: 1 }, { id: "custom.width", value: 80 }] },
        { matcher: { id: "byRegexp", options: "/^s/" }, properties: [{ id: "displayName", value: "Share" }] },
      ],
    },
  });
  const [table] = tables(p, [frame("n:number share:number", [[1, 0.5]])]);
  const [n, share] = table!.fields as [any, any];
  assert.equal(show(1500, n).text, "1,500");
  assert.equal(show(null, n).text, "–");
  assert.deepEqual(show(3, n), { text: "three", color: "#0000ff" });
  assert.equal(show(150, n).text, "hundreds");
  assert.equal(show(0.5, share).text, "50.0%");
  assert.equal(share.name, "Share");
  assert.equal(share.config.custom.width, 80);
  assert.equal(n.config.custom.width, undefined);
  assert.equal(colorOf(4, n, 0, [0, 10]), "#00ff00");
  assert.equal(colorOf(5, n, 0, [0, 10]), "#ff0000");
});

test("a name keeps its colour", () => {
  const names = Array.from({ length: 30 }, (_, i) => `scene ${i}`);
  const places = paletteIndexes(names, true);
  assert.equal(new Set(places.values()).size, 30);
  assert.equal(paletteIndexes([names[7]!], true).get(names[7]!)! % 12, paletteIndexes([names[7]!, "other"], true).get(names[7]!)! % 12);
});
