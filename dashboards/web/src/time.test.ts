import assert from "node:assert/strict";
import { test } from "node:test";
import { rangeText, resolve, setZone, spanOf, ticks, writeTick, writeTime } from "./time.ts";

const now = Date.UTC(2026, 0, 31, 13, 45, 30, 250); // A Saturday.
const utc = (...p: [number, number, number?, number?, number?, number?, number?]) => Date.UTC(...p);

test("times in Grafana's words", () => {
  for (const [text, end, want] of [
    ["now", false, now],
    ["now-15m", false, now - 15 * 60e3],
    ["now-24h", false, now - 864e5],
    ["now-30d", false, utc(2026, 0, 1, 13, 45, 30, 250)],
    ["now-1M", false, utc(2025, 11, 31, 13, 45, 30, 250)],
    ["now+1M", false, utc(2026, 1, 28, 13, 45, 30, 250)],
    ["now-1y", false, utc(2025, 0, 31, 13, 45, 30, 250)],
    ["now/d", false, utc(2026, 0, 31)],
    ["now/d", true, utc(2026, 1, 1) - 1],
    ["now-1d/d", true, utc(2026, 0, 31) - 1],
    ["now/w", false, utc(2026, 0, 26)],
    ["now/w", true, utc(2026, 1, 2) - 1],
    ["now-1M/M", false, utc(2025, 11, 1)],
    ["now-1M/M", true, utc(2026, 0, 1) - 1],
    ["now/y", false, utc(2026, 0, 1)],
    ["now/h", false, utc(2026, 0, 31, 13)],
    ["1767225600000", false, utc(2026, 0, 1)],
    ["2026-01-01T12:00:00", false, utc(2026, 0, 1, 12)],
    ["now-x", false, NaN],
  ] as const) {
    assert.equal(resolve(text, end, true, now), want, `${text}, end is ${end}`);
  }
});

test("days of the browser's own zone, which is Asia/Taipei here", () => {
  assert.equal(resolve("now/d", false, false, now), utc(2026, 0, 30, 16));
  assert.equal(resolve("2026-01-01T12:00:00", false, false, now), utc(2026, 0, 1, 4));
});

test("times as they are written", () => {
  for (const [zone, full, short] of [
    ["utc", "2026-01-31 13:45:30", "2026-01-31 13:45:30"],
    ["browser", "2026-01-31 21:45:30", "2026-01-31 21:45:30"],
    ["America/New_York", "2026-01-31 08:45:30", "2026-01-31 08:45:30"],
  ] as const) {
    setZone(zone);
    assert.equal(writeTime(now), full);
    assert.equal(writeTime(now, true), short);
  }
  setZone("utc");
  assert.equal(writeTime(utc(2026, 0, 1), true), "2026-01-01");
  assert.equal(writeTime(utc(2026, 0, 1, 12, 30), true), "2026-01-01 12:30");
  assert.equal(writeTime(NaN), "");
});

test("ranges as they are written", () => {
  assert.equal(rangeText({ from: "now-30d", to: "now" }, true), "Last 30 days");
  assert.equal(rangeText({ from: "now-3h", to: "now" }, true), "now-3h to now");
  assert.equal(rangeText({ from: String(utc(2026, 0, 1)), to: String(now) }, true), "2026-01-01 to 2026-01-31 13:45:30");
});

test("ticks stand where a person looks for them", () => {
  const written = (from: number, to: number, most: number) => ticks(from, to, most, true).map((t) => writeTick(t, to - from));
  assert.deepEqual(written(utc(2026, 0, 31, 1, 10), utc(2026, 0, 31, 6, 10), 6), ["02:00", "03:00", "04:00", "05:00", "06:00"]);
  assert.deepEqual(written(utc(2026, 0, 30, 13), utc(2026, 1, 1, 13), 4), ["31 Jan", "12:00", "1 Feb", "12:00"]);
  assert.deepEqual(written(utc(2026, 0, 1), utc(2026, 0, 31), 5), ["5 Jan", "12 Jan", "19 Jan", "26 Jan"]);
  assert.deepEqual(written(utc(2025, 5, 15), utc(2026, 5, 15), 6), ["Jul", "Oct", "2026", "Apr"]);
  for (const days of [0.01, 0.5, 3, 20, 100, 400, 4000]) {
    const n = ticks(now - days * 864e5, now, 8, true).length;
    assert.ok(n >= 1 && n <= 9, `${days} days have ${n} ticks`);
  }
});

test("spans", () => {
  assert.equal(spanOf("30s"), 30e3);
  assert.equal(spanOf("1h"), 36e5);
  assert.equal(spanOf(""), 0);
  assert.equal(spanOf(undefined), 0);
});
