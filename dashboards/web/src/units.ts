// Numbers as Grafana's units write them.

import { ago, writeTime } from "./time.ts";

// write returns a value with its unit. Without decimals there are as many as the
// size of the number asks for. Whole numbers that are too large for a number come
// as a string of digits.
export function write(value: number | string, unit = "", decimals?: number | null): string {
  if (typeof value === "string") {
    if (!/^-?\d+$/.test(value)) return value;
    if (unit === "locale" || unit === "none" || unit === "") return BigInt(value).toLocaleString("en-GB");
    value = Number(value);
  }
  if (!Number.isFinite(value)) return "";
  const rule = rules[unit];
  if (rule) return rule(value, decimals);
  for (const [form, place] of [["prefix:", -1], ["suffix:", 1]] as const) {
    if (unit.startsWith(form)) {
      const text = unit.slice(form.length);
      return place < 0 ? text + digits(value, decimals) : digits(value, decimals) + text;
    }
  }
  if (unit.startsWith("time:")) return writeTime(value);
  if (unit.startsWith("currency")) return currency(value, unit.slice("currency".length), decimals);
  return digits(value, decimals) + (unit ? ` ${unit}` : "");
}

// compact is write for an axis, where long numbers have no room.
export function compact(value: number, unit = "", decimals?: number | null): string {
  if (unit === "locale" || unit === "none" || unit === "") {
    return Math.abs(value) >= 1e4 ? write(value, "short") : grouped(value, Number.isInteger(value) ? 0 : undefined);
  }
  // An axis steps more finely than the values it is for.
  return write(value, unit, decimals === 0 ? undefined : decimals);
}

type Rule = (value: number, decimals?: number | null) => string;

const rules: Record<string, Rule> = {
  none: (v, d) => digits(v, d),
  string: (v) => String(v),
  locale: (v, d) => grouped(v, d),
  short: (v, d) => scaled(v, d, 1000, ["", " K", " Mil", " Bil", " Tri"]),
  sishort: (v, d) => scaled(v, d, 1000, ["", " k", " M", " G", " T"]),
  percent: (v, d) => `${digits(v, d)}%`,
  percentunit: (v, d) => `${digits(v * 100, d)}%`,
  bytes: (v, d) => scaled(v, d, 1024, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"]),
  decbytes: (v, d) => scaled(v, d, 1000, [" B", " kB", " MB", " GB", " TB", " PB"]),
  bits: (v, d) => scaled(v, d, 1024, [" b", " Kib", " Mib", " Gib", " Tib"]),
  Bps: (v, d) => scaled(v, d, 1000, [" B/s", " kB/s", " MB/s", " GB/s", " TB/s"]),
  binBps: (v, d) => scaled(v, d, 1024, [" B/s", " KiB/s", " MiB/s", " GiB/s", " TiB/s"]),
  reqps: (v, d) => `${write(v, "short", d)} req/s`,
  rps: (v, d) => `${write(v, "short", d)} rd/s`,
  wps: (v, d) => `${write(v, "short", d)} wr/s`,
  ops: (v, d) => `${write(v, "short", d)} ops/s`,
  cps: (v, d) => `${write(v, "short", d)} c/s`,
  ns: (v, d) => duration(v / 1e9, d),
  "µs": (v, d) => duration(v / 1e6, d),
  ms: (v, d) => duration(v / 1e3, d),
  s: duration,
  m: (v, d) => duration(v * 60, d),
  h: (v, d) => duration(v * 3600, d),
  d: (v, d) => duration(v * 86400, d),
  dateTimeAsIso: (v) => writeTime(v),
  dateTimeAsIsoNoDateIfToday: (v) => writeTime(v),
  dateTimeAsSystem: (v) => writeTime(v),
  dateTimeAsLocal: (v) => writeTime(v),
  dateTimeFromNow: (v) => ago(v),
  bool: (v) => (v ? "True" : "False"),
  bool_yes_no: (v) => (v ? "Yes" : "No"),
  bool_on_off: (v) => (v ? "On" : "Off"),
};

const signs: Record<string, string> = { USD: "$", EUR: "€", GBP: "£", JPY: "¥", CNY: "¥", INR: "₹", KRW: "₩", TWD: "NT$", HKD: "HK$", SGD: "S$", BRL: "R$" };

function currency(value: number, code: string, decimals?: number | null): string {
  const sign = signs[code] ?? `${code} `;
  return (value < 0 ? "-" : "") + sign + write(Math.abs(value), "short", decimals);
}

// digits writes a number without grouping short ones.
function digits(value: number, decimals?: number | null): string {
  const d = decimals ?? fitting(value);
  return value.toLocaleString("en-GB", { minimumFractionDigits: decimals ?? 0, maximumFractionDigits: d, useGrouping: Math.abs(value) >= 1e4 });
}

function grouped(value: number, decimals?: number | null): string {
  const d = decimals ?? fitting(value);
  return value.toLocaleString("en-GB", { minimumFractionDigits: decimals ?? 0, maximumFractionDigits: d });
}

// fitting returns how many decimals a number deserves: three digits in all.
function fitting(value: number): number {
  const size = Math.abs(value);
  if (size === 0 || size >= 100) return 0;
  return Math.min(Math.max(2 - Math.floor(Math.log10(size)), 0), 8);
}

function scaled(value: number, decimals: number | null | undefined, factor: number, suffixes: string[]): string {
  let i = 0;
  while (Math.abs(value) >= factor && i < suffixes.length - 1) {
    value /= factor;
    i++;
  }
  return digits(value, value === 0 ? 0 : decimals) + suffixes[i];
}

// duration writes seconds in the unit that suits their size.
function duration(seconds: number, decimals?: number | null): string {
  const size = Math.abs(seconds);
  if (size === 0) return "0 s";
  for (const [below, length, name] of [
    [1e-6, 1e-9, "ns"],
    [1e-3, 1e-6, "µs"],
    [1, 1e-3, "ms"],
    [60, 1, "s"],
    [3600, 60, "min"],
    [86400, 3600, "hour"],
    [604800 * 2, 86400, "day"],
    [31536e3, 604800, "week"],
    [Infinity, 31536e3, "year"],
  ] as const) {
    if (size >= below) continue;
    // Seconds have the decimals that are asked for; in longer units one is left.
    const n = seconds / length;
    const text = digits(n, length <= 1 ? decimals : Number.isInteger(Number(n.toFixed(1))) ? 0 : decimals || 1);
    return `${text} ${name}${length > 1 && text !== "1" ? "s" : ""}`;
  }
  return "";
}
