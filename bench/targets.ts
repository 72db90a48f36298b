/** What the shim is held to. */
import { byRound, type Row, type Spread } from './rows.ts';

/** @property limit what it must not be more than; @property aim what would be better still */
export interface Target {
  readonly name: string;
  readonly unit: string;
  readonly limit?: number;
  readonly aim?: number;
  readonly figure: (rows: readonly Row[]) => Spread | undefined;
}

type Other = keyof Row['values'];

function values(rows: readonly Row[], name: string, side: Other): readonly number[] | undefined {
  return rows.find((row) => row.name === name || row.name.endsWith(name))?.values[side];
}

const divided = (one: number, other: number): number => one / other;

/** The shim's figure ÷ another's of the same row, or ÷ the shim's own of another row. */
function ratio(row: string, other: Other, otherRow = row): Target['figure'] {
  return (rows) => byRound(values(rows, row, 'shim'), values(rows, otherRow, other), divided);
}

function own(row: string): Target['figure'] {
  return (rows) => byRound(values(rows, row, 'shim'), values(rows, row, 'shim'), (one) => one);
}

function added(row: string): Target['figure'] {
  return (rows) => byRound(values(rows, row, 'shim'), values(rows, row, 'direct'), (one, direct) => one - direct);
}

const POST = 'small POST, 32 connections';
const SSE = 'SSE, 200 chunks one by one';

export const TARGETS: readonly Target[] = [
  { name: 'CPU per small POST ÷ http-proxy-3', unit: '×', limit: 0.6, aim: 0.5, figure: ratio(POST, 'http-proxy-3') },
  { name: 'CPU per small POST ÷ Caddy', unit: '×', limit: 1, figure: ratio(POST, 'caddy') },
  { name: 'CPU per small POST ÷ nginx', unit: '×', aim: 3, figure: ratio(POST, 'nginx') },
  {
    name: 'SSE, 200 chunks at once ÷ http-proxy-3',
    unit: '×',
    limit: 0.75,
    aim: 0.6,
    figure: ratio('SSE, 200 chunks at once', 'http-proxy-3'),
  },
  { name: 'SSE, 200 chunks at once ÷ Caddy', unit: '×', limit: 1.1, figure: ratio('SSE, 200 chunks at once', 'caddy') },
  {
    name: 'SSE, 200 chunks one by one ÷ http-proxy-3',
    unit: '×',
    limit: 0.75,
    aim: 0.6,
    figure: ratio(SSE, 'http-proxy-3'),
  },
  { name: 'SSE, 200 chunks one by one ÷ Caddy', unit: '×', limit: 1.1, figure: ratio(SSE, 'caddy') },
  {
    name: 'refused (wrong token) ÷ forwarded',
    unit: '×',
    limit: 0.4,
    figure: ratio('refused: wrong token', 'shim', POST),
  },
  {
    name: 'refused (route not exposed) ÷ forwarded',
    unit: '×',
    limit: 0.4,
    figure: ratio('refused: route not exposed', 'shim', POST),
  },
  {
    name: 'resident for an open idle stream',
    unit: 'KB',
    limit: 45,
    aim: 25,
    figure: own('open streams, memory of each'),
  },
  { name: 'cold start', unit: 'ms', limit: 250, aim: 150, figure: own('cold start (direct: an empty Node server)') },
  { name: 'idle memory', unit: 'MB', limit: 90, aim: 70, figure: own('idle memory (direct: an empty Node server)') },
  {
    name: 'added to p99 at 500 a second',
    unit: 'ms',
    limit: 2,
    aim: 1,
    figure: added('small POST at 500 a second, p99'),
  },
  { name: 'JWT ÷ static token', unit: '×', limit: 1.1, figure: ratio('small POST, JWT', 'shim', POST) },
  { name: 'mTLS hop ÷ loopback hop', unit: '×', limit: 1.35, figure: ratio('small POST, mTLS hop', 'shim', POST) },
];
