import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parseExposition, populatedMetrics } from '../helpers/exposition.ts';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
}

interface Dashboard {
  readonly schemaVersion: number;
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
  readonly panels: readonly Panel[];
}

const FILE = join(import.meta.dirname, '..', '..', 'deploy', 'grafana', 'openclaw-auth-shim.json');
const dashboard = JSON.parse(await readFile(FILE, 'utf8')) as Dashboard;
const targets = dashboard.panels.flatMap(({ targets = [], title }) => targets.map((one) => ({ ...one, title })));
const families = parseExposition((await populatedMetrics().render()).body);

/** What the scraper adds. */
const SCRAPED = ['instance', 'job'];

/** The labels of every name that a query can ask for: of a histogram, its series. */
const series = new Map<string, { readonly type: string; readonly labels: ReadonlySet<string> }>();
for (const { type, samples } of families.values()) {
  for (const { name, labels } of samples) {
    series.set(name, { type, labels: new Set([...Object.keys(labels), ...SCRAPED]) });
  }
}

/** Every selector of a query: `name{label="value"}`. */
function selectors(expr: string): { readonly name: string; readonly labels: readonly string[] }[] {
  return [...expr.matchAll(/([a-z_]+)\{([^}]*)\}/g)].map(([, name = '', matchers = '']) => ({
    name,
    labels: [...matchers.matchAll(/([a-z_]+)(?:=~|!~|!=|=)"/g)].map(([, label = '']) => label),
  }));
}

function grouped(expr: string): string[] {
  return [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels = '']) => labels.split(', '));
}

void t.test('every name and label of a query is exposed', async (t) => {
  t.ok(targets.length > 30);
  for (const { title, expr, legendFormat } of targets) {
    const asked = selectors(expr);
    const mentioned = expr.match(/\b(?:auth_shim|process|nodejs)_[a-z_]+/g) ?? [];
    t.strictSame(
      mentioned,
      asked.map(({ name }) => name),
      `${title}: each metric has its selector`,
    );
    t.ok(asked.length > 0, title);
    for (const { name, labels } of asked) {
      const known = series.get(name);
      t.ok(known, `${title}: ${name}`);
      t.ok(labels.includes('instance'), `${title}: ${name} is that of the chosen instances`);
      for (const label of [...labels, ...grouped(expr)]) t.ok(known?.labels.has(label), `${title}: ${name}{${label}}`);
    }
    const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
    t.strictSame(
      shown.filter((label) => !grouped(expr).includes(label)),
      [],
      `${title}: the legend has what the query keeps`,
    );
  }
});

void t.test('counters are asked for their increase, gauges for their value', async (t) => {
  for (const { title, expr } of targets) {
    const increasing = [...expr.matchAll(/\b(?:rate|increase)\(([a-z_]+)\{/g)].map(([, name = '']) => name);
    for (const { name } of selectors(expr)) {
      t.equal(increasing.includes(name), series.get(name)?.type !== 'gauge', `${title}: ${name}`);
    }
    t.equal(expr.split('(').length, expr.split(')').length, title);
  }
});

void t.test('every metric of the shim is in a panel', async (t) => {
  const shown = new Set(targets.flatMap(({ expr }) => selectors(expr).map(({ name }) => name.replace(/_bucket$/, ''))));
  t.strictSame(
    [...families.keys()].filter((name) => !shown.has(name)),
    [],
  );
});

void t.test(
  'it can be imported anywhere: the data source is chosen, ids are unique, panels do not overlap',
  async (t) => {
    t.ok(dashboard.schemaVersion >= 39);
    t.strictSame(
      dashboard.templating.list.map(({ name, type }) => `${name} ${type}`),
      ['datasource datasource', 'instance query'],
    );
    const ids = new Set(dashboard.panels.map(({ id }) => id));
    t.equal(ids.size, dashboard.panels.length);
    for (const { title, type, datasource, targets: own = [] } of dashboard.panels) {
      if (type === 'row') continue;
      t.match(datasource, { type: 'prometheus', uid: '${datasource}' }, title);
      t.ok(own.length > 0, title);
      t.equal(new Set(own.map(({ refId }) => refId)).size, own.length, title);
      for (const one of own) t.equal(one.datasource.uid, '${datasource}', title);
    }
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      const { x, y, w, h } = gridPos;
      t.ok(x + w <= 24, title);
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          const cell = `${column} ${line}`;
          if (taken.has(cell)) t.fail(`${title} lies on another panel`);
          taken.add(cell);
        }
      }
    }
  },
);
