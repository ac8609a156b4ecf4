// What is used of Grafana's dashboard model.

export interface Dashboard {
  uid: string;
  title: string;
  description?: string;
  refresh?: string;
  timezone?: string;
  time?: { from?: string; to?: string };
  panels?: Panel[];
  templating?: { list?: Variable[] };
  annotations?: { list?: { name: string; enable?: boolean; iconColor?: string; target?: unknown }[] };
  links?: Link[];
}

export interface Link {
  title?: string;
  url?: string;
  type?: string;
  targetBlank?: boolean;
  tooltip?: string;
  includeVars?: boolean;
  keepTime?: boolean;
}

export interface Panel {
  id: number;
  type: string;
  title?: string;
  description?: string;
  gridPos?: { x: number; y: number; w: number; h: number };
  fieldConfig?: { defaults?: FieldConfig; overrides?: Override[] };
  options?: Record<string, any>;
  targets?: { rawSql?: string; expr?: string }[];
  panels?: Panel[];
  links?: Link[];
}

export interface FieldConfig {
  unit?: string;
  decimals?: number | null;
  min?: number | null;
  max?: number | null;
  noValue?: string;
  displayName?: string;
  color?: { mode?: string; fixedColor?: string; seriesBy?: string };
  thresholds?: { mode?: string; steps?: { value: number | null; color: string }[] };
  mappings?: Mapping[];
  links?: Link[];
  custom?: Record<string, any>;
}

export interface Override {
  matcher: { id: string; options?: any };
  properties: { id: string; value?: any }[];
}

export interface Mapping {
  type: string;
  options: any;
}

export interface MappingResult {
  text?: string;
  color?: string;
}

export interface Variable {
  name: string;
  label?: string;
  description?: string;
  type: string;
  hide?: number;
  multi?: boolean;
  includeAll?: boolean;
  query?: unknown;
  refresh?: number;
  current?: { value?: string | string[] };
}
