import assert from "node:assert/strict";
import { test } from "node:test";
import { setZone } from "./time.ts";
import { compact, write } from "./units.ts";

test("units", () => {
  setZone("utc");
  for (const [value, unit, decimals, want] of [
    [1234567, "locale", 0, "1,234,567"],
    [1234.5, "locale", 2, "1,234.50"],
    [0, "locale", 2, "0.00"],
    ["9007199254740993", "locale", 0, "9,007,199,254,740,993"],
    ["-9007199254740993", "", undefined, "-9,007,199,254,740,993"],
    [12.3456, "", undefined, "12.3"],
    [0.00123, "", undefined, "0.00123"],
    [999, "short", undefined, "999"],
    [1234, "short", undefined, "1.23 K"],
    [-2500000, "short", 1, "-2.5 Mil"],
    [0.125, "percentunit", 1, "12.5%"],
    [99.9, "percent", undefined, "99.9%"],
    [2048, "bytes", undefined, "2 KiB"],
    [1500, "decbytes", 1, "1.5 kB"],
    [0.0123, "s", undefined, "12.3 ms"],
    [59, "s", 0, "59 s"],
    [60, "s", 0, "1 min"],
    [5400, "s", 0, "1.5 hours"],
    [86400, "s", 0, "1 day"],
    [172800, "s", 0, "2 days"],
    [0, "s", 0, "0 s"],
    [1500, "ms", undefined, "1.5 s"],
    [12, "reqps", undefined, "12 req/s"],
    [1234, "currencyUSD", undefined, "$1.23 K"],
    [-5, "currencyEUR", 2, "-€5.00"],
    [Date.UTC(2026, 0, 31, 13, 45), "dateTimeAsIso", undefined, "2026-01-31 13:45:00"],
    [1, "bool_yes_no", undefined, "Yes"],
    [5, "suffix: pts", 0, "5 pts"],
    [5, "prefix:NT$", 0, "NT$5"],
    [5, "bananas", 0, "5 bananas"],
    [NaN, "locale", 0, ""],
    ["text", "locale", 0, "text"],
  ] as const) {
    assert.equal(write(value, unit, decimals), want, `${value} ${unit} ${decimals}`);
  }
});

test("an axis has short numbers", () => {
  assert.equal(compact(5000, "locale", 0), "5,000");
  assert.equal(compact(250000, "locale", 0), "250 K");
  assert.equal(compact(0.5, "percentunit", 0), "50%");
});
