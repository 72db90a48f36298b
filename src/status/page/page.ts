/**
 * The status page: shows what the shim tells over `/events`, as it comes. Names and paths are other people's words, so
 * that text is only ever set as text.
 */
import type { StatusParts } from '../state.ts';
import { showHour } from './charts.ts';
import { age, count, hoursUntil, instant, setClock, visible } from './words.ts';

const RETRY_MS = 5_000;
/** The shim says something at least every 15 seconds. */
const SILENT_MS = 40_000;

interface Cell {
  readonly text: string;
  readonly state?: 'good' | 'warn' | 'bad' | undefined;
  readonly number?: boolean;
  /** A time whose age is shown, and kept right. */
  readonly since?: number;
}

const cell = (text: string | undefined): Cell => ({ text: text ?? '–' });
const number = (value: number | undefined): Cell => ({ text: String(value ?? 0), number: true });

const show: { readonly [Name in keyof StatusParts]: (part: StatusParts[Name]) => void } = {
  about({ version, node, startedMs, gateway: { origin, mode, release } }) {
    setText('about', `version ${version}, Node ${node}, since ${instant(startedMs)}`);
    facts.set('Gateway', `${origin}, mode ${mode}`);
    facts.set('Gateway release', release ? `${release.version} (heard ${instant(release.at)})` : 'unknown');
    showFacts();
  },
  health({ checks, open }) {
    facts.set('Open requests', String(open.requests));
    facts.set('Event streams', String(open.streams));
    facts.set('WebSockets', String(open.sockets));
    showFacts();
    looked = checks;
    showChecks();
  },
  callers({ rows, more }) {
    fill(
      'callers',
      rows.map(({ name, seenMs, perMinute, open, streams, sockets, requests, failed }) => [
        cell(name),
        open + sockets > 0
          ? cell('now')
          : seenMs === undefined
            ? cell('not since the start')
            : { text: '', since: seenMs },
        number(perMinute),
        number(open),
        number(streams),
        number(sockets),
        number(requests),
        number(failed),
      ]),
    );
    setText('callers-more', more > 0 ? `and ${more} more` : '');
  },
  tokens(rows) {
    fill(
      'tokens',
      rows.map(({ id, caller, expires }) => [cell(id), cell(caller), cell(instant(expires)), ending(expires)]),
    );
  },
  refusals(rows) {
    fill(
      'refusals',
      rows.map(({ at, times, id, status, code, caller, method, route, words, advice }) => [
        cell(times > 1 ? `${instant(at)}, the last of ${times}` : instant(at)),
        cell(`${status} ${code}`),
        cell(caller),
        cell(`${method} ${route ?? ''}`.trim() || undefined),
        cell(words),
        cell(advice),
        cell(id),
      ]),
    );
  },
  reload({ takenMs, triedMs, faults, waiting }) {
    const words = [`In force since ${instant(takenMs)}.`];
    if (faults.length > 0) words.push(`The reload of ${instant(triedMs)} failed, the one before runs on:`);
    if (waiting.length > 0) words.push(`A restart is due for ${waiting.join(', ')}.`);
    setText('reload', words.join(' '));
    element('reload').dataset.state = faults.length > 0 ? 'bad' : '';
    element('faults').replaceChildren(...faults.map((fault) => make('li', cell(fault))));
    reloadFailed = faults.length > 0;
    showChecks();
  },
  certificates(rows) {
    fill(
      'certificates',
      rows.map(({ key, notAfter }) => [cell(key), cell(instant(notAfter)), ending(notAfter)]),
    );
  },
  providers(rows) {
    fill(
      'providers',
      rows.map(({ name, heardMs, failing }) => [
        cell(name),
        heardMs === undefined ? cell('never') : { text: '', since: heardMs },
        failing
          ? { text: 'cannot be asked', state: 'bad' }
          : heardMs === undefined
            ? cell('not asked yet')
            : { text: 'fine', state: 'good' },
      ]),
    );
  },
  hour: showHour,
};

const facts = new Map<string, string>();
let looked: StatusParts['health']['checks'];
let reloadFailed = false;
let heard = performance.now();

for (const table of document.querySelectorAll('table')) nameRoles(table);
setInterval(() => {
  showAges();
  if (performance.now() - heard > SILENT_MS) lost('No word from the shim');
}, 1_000);
connect();

function connect(): void {
  const events = new EventSource('/events');
  for (const name of Object.keys(show) as (keyof StatusParts)[]) {
    events.addEventListener(name, ({ data }: MessageEvent<string>) => {
      found();
      (show[name] as (part: unknown) => void)(JSON.parse(data));
    });
  }
  events.addEventListener('clock', ({ data }: MessageEvent<string>) => {
    found();
    setClock(Number(data));
    showAges();
  });
  const again = (): void => {
    events.close();
    setTimeout(connect, RETRY_MS);
  };
  events.addEventListener('end', () => {
    lost('The shim is shutting down');
    again();
  });
  events.addEventListener('error', () => {
    lost('Not connected to the shim');
    // It comes back by itself, but for an answer that is no event stream.
    if (events.readyState === EventSource.CLOSED) again();
  });
}

function found(): void {
  heard = performance.now();
  document.body.classList.remove('stale');
}

function lost(words: string): void {
  document.body.classList.add('stale');
  say(words, false);
}

function say(words: string, good: boolean): void {
  const ready = element('ready');
  // A screen reader says each change, and only changes.
  if (ready.textContent !== words) ready.textContent = words;
  ready.dataset.state = stateOf(good);
  document.title = `${words} – auth-shim`;
}

function showChecks(): void {
  if (!looked) return;
  const wrong = looked.filter(({ ok }) => !ok);
  if (wrong.length > 0) say(`Not ready: ${wrong.map(({ name }) => name).join(', ')}`, false);
  else say(reloadFailed ? 'Ready, but the last reload failed' : 'Ready', !reloadFailed);
  const pairs = looked.map(({ name, ok, detail }) => {
    const bad = !ok || (name === 'configuration' && reloadFailed);
    // A word at something that is fine is a warning.
    const state = bad ? 'bad' : detail === undefined ? 'good' : 'warn';
    return pair(name, { text: detail ?? (ok ? 'fine' : 'no'), state });
  });
  element('checks').replaceChildren(...pairs);
}

function showFacts(): void {
  element('facts').replaceChildren(...[...facts].map(([name, value]) => pair(name, cell(value))));
}

function pair(name: string, value: Cell): HTMLElement {
  const both = document.createElement('div');
  both.append(make('dt', cell(name)), make('dd', value));
  return both;
}

function fill(id: string, rows: readonly (readonly Cell[])[]): void {
  const table = element(id) as HTMLTableElement;
  const labels = [...table.querySelectorAll('th')].map(({ textContent }) => textContent);
  const made = rows.map((cells) => {
    const row = document.createElement('tr');
    row.setAttribute('role', 'row');
    row.append(
      ...cells.map((one, index) => {
        const td = make('td', one);
        td.setAttribute('role', 'cell');
        td.dataset.label = labels[index] ?? '';
        return td;
      }),
    );
    return row;
  });
  table.tBodies[0]?.replaceChildren(...made);
  showAges();
}

/** On a narrow screen a table is laid out as cards, and browsers forget then that it is one. */
function nameRoles(table: HTMLTableElement): void {
  table.setAttribute('role', 'table');
  for (const [name, role] of [
    ['thead, tbody', 'rowgroup'],
    ['tr', 'row'],
    ['th', 'columnheader'],
  ] as const) {
    for (const one of table.querySelectorAll(name)) one.setAttribute('role', role);
  }
}

function make(name: 'td' | 'dt' | 'dd' | 'li', { text, state, number, since }: Cell): HTMLElement {
  const made = document.createElement(name);
  if (since !== undefined) {
    const time = document.createElement('time');
    time.dateTime = new Date(since).toISOString();
    time.title = instant(since);
    time.dataset.since = String(since);
    made.append(time);
  } else made.textContent = visible(text);
  if (state) made.dataset.state = state;
  if (number) made.className = 'number';
  return made;
}

function showAges(): void {
  for (const time of document.querySelectorAll<HTMLElement>('[data-since]')) {
    const words = age(Number(time.dataset.since));
    if (time.textContent !== words) time.textContent = words;
  }
}

function ending(at: number): Cell {
  const hours = hoursUntil(at);
  if (hours < 0) return { text: 'expired', state: 'bad' };
  const days = Math.floor(hours / 24);
  const left = days < 2 ? count(hours, 'hour') : count(days, 'day');
  return { text: `${left} left`, state: days < 14 ? 'bad' : 'good' };
}

function stateOf(good: boolean): 'good' | 'bad' {
  return good ? 'good' : 'bad';
}

function setText(id: string, text: string): void {
  element(id).textContent = visible(text);
}

function element(id: string): HTMLElement {
  return document.getElementById(id) as HTMLElement;
}
