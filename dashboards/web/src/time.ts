// Times in Grafana's words, such as now-30d and now/d, and how times are written.

export interface Range {
  from: string;
  to: string;
}

export const quickRanges: [text: string, from: string, to: string][] = [
  ["Last 15 minutes", "now-15m", "now"],
  ["Last hour", "now-1h", "now"],
  ["Last 6 hours", "now-6h", "now"],
  ["Last 24 hours", "now-24h", "now"],
  ["Last 7 days", "now-7d", "now"],
  ["Last 30 days", "now-30d", "now"],
  ["Last 90 days", "now-90d", "now"],
  ["Last 6 months", "now-6M", "now"],
  ["Last year", "now-1y", "now"],
  ["Last 2 years", "now-2y", "now"],
  ["Today", "now/d", "now/d"],
  ["Yesterday", "now-1d/d", "now-1d/d"],
  ["This week", "now/w", "now/w"],
  ["This month", "now/M", "now/M"],
  ["Last month", "now-1M/M", "now-1M/M"],
  ["This year", "now/y", "now/y"],
];

export const refreshes = ["", "10s", "30s", "1m", "5m", "15m", "1h"];

const units: Record<string, number> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

// resolve returns the milliseconds of a time: an ISO time, milliseconds, or now
// with steps such as -30d and a rounding such as /d. The end of a range rounds
// up. Days, months and years are those of UTC, or of the browser.
export function resolve(text: string, end: boolean, utc: boolean, now = Date.now()): number {
  if (/^\d+$/.test(text)) return Number(text);
  if (!text.startsWith("now")) return Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(text) || !utc ? text : text + "Z");
  const at = new Clock(now, utc);
  let rest = text.slice(3);
  while (rest !== "") {
    const step = /^([+-])(\d+)([smhdwMyQ])/.exec(rest);
    const round = /^\/([smhdwMyQ])/.exec(rest);
    if (step) {
      at.add(Number(step[1] + step[2]!), step[3]!);
      rest = rest.slice(step[0].length);
    } else if (round) {
      at.floor(round[1]!);
      if (end) {
        at.add(1, round[1]!);
        at.ms--;
      }
      rest = rest.slice(round[0].length);
    } else {
      return NaN;
    }
  }
  return at.ms;
}

class Clock {
  constructor(
    public ms: number,
    private utc: boolean,
  ) {}

  private parts(): [number, number, number, number, number, number, number] {
    const d = new Date(this.ms);
    return this.utc
      ? [d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds(), d.getUTCMilliseconds()]
      : [d.getFullYear(), d.getMonth(), d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds(), d.getMilliseconds()];
  }

  private set(...p: [number, number, number?, number?, number?, number?, number?]): void {
    const [y, m, d = 1, h = 0, min = 0, s = 0, ms = 0] = p;
    this.ms = this.utc ? Date.UTC(y, m, d, h, min, s, ms) : new Date(y, m, d, h, min, s, ms).getTime();
  }

  add(n: number, unit: string): void {
    const [y, m, d, ...rest] = this.parts();
    if (unit === "y" || unit === "M" || unit === "Q") {
      const month = m + n * { y: 12, Q: 3, M: 1 }[unit];
      const days = new Date(Date.UTC(y, month + 1, 0)).getUTCDate();
      this.set(y, month, Math.min(d, days), ...rest);
    } else if (unit === "d" || unit === "w") {
      this.set(y, m, d + n * (unit === "w" ? 7 : 1), ...rest);
    } else {
      this.ms += n * units[unit]!;
    }
  }

  floor(unit: string): void {
    const [y, m, d] = this.parts();
    switch (unit) {
      case "y":
        return this.set(y, 0);
      case "Q":
        return this.set(y, m - (m % 3));
      case "M":
        return this.set(y, m);
      case "w": {
        const date = new Date(this.ms);
        const weekday = this.utc ? date.getUTCDay() : date.getDay();
        return this.set(y, m, d - ((weekday + 6) % 7)); // A week begins on Monday.
      }
      case "d":
        return this.set(y, m, d);
      default:
        this.ms -= this.ms % units[unit]!;
    }
  }
}

// spanOf returns the milliseconds of a span such as 30s; 0 for none.
export function spanOf(text: string | undefined): number {
  const m = /^(\d+)([smhdw])$/.exec(text ?? "");
  return m ? Number(m[1]) * units[m[2]!]! : 0;
}

// A zone is where times are shown: that of a dashboard, of the browser if the
// dashboard names none.
let zone: string | undefined;

export function setZone(timezone: string | undefined): void {
  zone = timezone === "utc" ? "UTC" : timezone === "browser" || !timezone ? undefined : timezone;
}

export const isUTC = () => zone === "UTC";

export const zoneName = () => zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;

const formats = new Map<string, Intl.DateTimeFormat>();

function write(ms: number, options: Intl.DateTimeFormatOptions): Record<string, string> {
  const key = zone + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat("en-GB", { ...options, hourCycle: "h23", ...(zone ? { timeZone: zone } : {}) });
    formats.set(key, format);
  }
  return Object.fromEntries(format.formatToParts(ms).map((p) => [p.type, p.value]));
}

const numeric = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;

// writeTime writes a time as 2026-01-31 12:30:00, and as 2026-01-31 at midnight
// if short is wanted.
export function writeTime(ms: number, short = false): string {
  if (!Number.isFinite(ms)) return "";
  const p = write(ms, numeric);
  const date = `${p.year}-${p.month}-${p.day}`;
  if (short && p.hour === "00" && p.minute === "00" && p.second === "00") return date;
  const time = `${p.hour}:${p.minute}`;
  return `${date} ${time}${short && p.second === "00" ? "" : `:${p.second}`}`;
}

// The steps between two ticks of an axis of time.
const tickSteps: [n: number, unit: string, length: number][] = [
  [1, "s"], [5, "s"], [15, "s"], [30, "s"], [1, "m"], [2, "m"], [5, "m"], [10, "m"], [15, "m"], [30, "m"],
  [1, "h"], [2, "h"], [3, "h"], [6, "h"], [12, "h"], [1, "d"], [2, "d"], [1, "w"], [2, "w"],
  [1, "M"], [2, "M"], [3, "M"], [6, "M"], [1, "y"], [2, "y"], [5, "y"],
].map(([n, unit]) => [n as number, unit as string, (n as number) * ({ M: 30 * units.d!, y: 365 * units.d! }[unit as string] ?? units[unit as string]!)]);

// ticks returns at most so many moments of a range at which a person would look
// for a tick: whole hours, days, Mondays, months.
export function ticks(from: number, to: number, most: number, utc: boolean): number[] {
  const [n, unit] = tickSteps.find(([, , length]) => (to - from) / length <= most) ?? tickSteps.at(-1)!;
  const at = new Clock(from, utc);
  at.floor({ s: "m", m: "h", h: "d", M: "y" }[unit] ?? unit);
  const all: number[] = [];
  for (; at.ms <= to; at.add(n, unit)) if (at.ms >= from) all.push(at.ms);
  return all;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// writeTick writes a tick of an axis that shows so many milliseconds.
export function writeTick(ms: number, span: number): string {
  const p = write(ms, numeric);
  const month = months[Number(p.month) - 1]!;
  if (span > 5 * 365 * units.d!) return p.year!;
  if (p.day === "01" && span > 150 * units.d!) return p.month === "01" ? p.year! : month;
  if (p.hour === "00" && p.minute === "00" && p.second === "00") return `${Number(p.day)} ${month}`;
  return span > 5 * units.m! ? `${p.hour}:${p.minute}` : `${p.hour}:${p.minute}:${p.second}`;
}

// rangeText says which time is selected.
export function rangeText(range: Range, utc: boolean): string {
  const quick = quickRanges.find(([, from, to]) => from === range.from && to === range.to);
  if (quick) return quick[0];
  const end = (text: string, isEnd: boolean) => (text.startsWith("now") ? text : writeTime(resolve(text, isEnd, utc), true));
  return `${end(range.from, false)} to ${end(range.to, true)}`;
}

// ago says how long ago a time is.
export function ago(ms: number, now = Date.now()): string {
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const seconds = (ms - now) / 1e3;
  for (const [unit, length] of [["year", 31536e3], ["month", 2592e3], ["day", 86400], ["hour", 3600], ["minute", 60]] as const) {
    if (Math.abs(seconds) >= length) return format.format(Math.round(seconds / length), unit);
  }
  return format.format(Math.round(seconds), "second");
}
