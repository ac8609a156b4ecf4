// The connector's answers. A browser sends names, times and values; the SQL
// stays with the connector.

import type { Dashboard } from "./model.ts";

export type Cell = number | string | boolean | null;

export interface Frame {
  refId: string;
  timeSeries: boolean;
  columns: { name: string; type: "number" | "time" | "boolean" | "string" }[];
  rows: Cell[][];
  truncated: boolean;
}

export interface Entry {
  uid: string;
  title: string;
  description: string;
  tags: string[] | null;
}

// A Failure is an answer that says what is wrong.
export class Failure extends Error {
  constructor(
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Option {
  text: string;
  value: string;
}

// What every query of a dashboard goes by, as the address has it too.
export type Query = URLSearchParams;

const base = "/dashboards/api/dashboards";

export const list = () => get<{ dashboards: Entry[]; problem?: string }>("");

export const dashboard = (uid: string) => get<Dashboard>(`/${encodeURIComponent(uid)}`);

export const panel = (uid: string, id: number, query: Query, signal: AbortSignal) =>
  get<{ frames: Frame[]; interval_ms: number; elapsed_ms: number }>(`/${encodeURIComponent(uid)}/panels/${id}?${query}`, signal);

export const options = (uid: string, name: string, query: Query) =>
  get<{ options: Option[]; truncated: boolean }>(`/${encodeURIComponent(uid)}/variables/${encodeURIComponent(name)}?${query}`);

export const annotations = (uid: string, query: Query, signal: AbortSignal) =>
  get<{ frames: Frame[] }>(`/${encodeURIComponent(uid)}/annotations?${query}`, signal);

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(base + path, { signal: signal ?? null, headers: { Accept: "application/json" } });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure("unreachable", "The connector does not answer. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok || body === null) {
    const message = body?.message ?? `The connector answered ${response.status}.`;
    throw new Failure(body?.error ?? "unexpected", message[0].toUpperCase() + message.slice(1));
  }
  return body as T;
}
