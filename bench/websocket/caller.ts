/** The caller of the WebSocket benchmark, a process of its own: it does one job after another that it is sent. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { FRAME_BYTES, sendFrames, taskFrame } from './frames.ts';

export type Job =
  /** Frames one way, as fast as they are taken. */
  | { readonly job: 'up' | 'down'; readonly url: string; readonly seconds: number; readonly packed: boolean }
  /** Round trips at a steady rate. */
  | { readonly job: 'echo'; readonly url: string; readonly seconds: number; readonly perSecond: number }
  /** Opens sockets and keeps them. */
  | { readonly job: 'open'; readonly url: string; readonly count: number }
  /** Closes those. */
  | { readonly job: 'close' };

/** Frames or sockets, and how long it took. */
export interface Counted {
  readonly count: number;
  readonly ms: number;
}

/** @property micros of each round trip, sorted */
export type Outcome = Counted | { readonly micros: readonly number[] } | { readonly error: string };

/** How many handshakes are under way at a time. */
const OPENING = 50;

interface Open {
  readonly ws: WebSocket;
  readonly socket: Socket;
  /** Rejects when it is closed. */
  readonly closed: Promise<never>;
}

const kept: WebSocket[] = [];
const headers = { authorization: `Bearer ${process.env.BENCH_TOKEN}` };
const CONNECT = JSON.stringify({
  type: 'req',
  id: 'connect',
  method: 'connect',
  params: { minProtocol: 3, maxProtocol: 3, client: { id: 'cli', mode: 'cli' }, role: 'operator' },
});

function open(url: string): Promise<Open> {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url.replace('http', 'ws'), { headers, perMessageDeflate: false });
    let socket: Socket;
    const closed = new Promise<never>((_, fail) => {
      ws.once('close', (code: number, reason: Buffer) => fail(new Error(`closed: ${code} ${reason.toString()}`)));
      ws.once('error', fail);
    });
    closed.catch(reject);
    ws.once('upgrade', (response: IncomingMessage) => (socket = response.socket));
    // The challenge may come with the 101.
    ws.once('message', () => {
      ws.send(CONNECT);
      ws.once('message', (hello: Buffer) => {
        if (hello.includes('hello-ok')) resolve({ ws, socket, closed });
        else reject(new Error(hello.toString()));
      });
    });
  });
}

async function close(ws: WebSocket): Promise<void> {
  if (ws.readyState === ws.CLOSED) return;
  ws.close();
  await once(ws, 'close');
}

async function oneWay({ job, url, seconds, packed }: Extract<Job, { job: 'up' | 'down' }>): Promise<Outcome> {
  const { ws, socket, closed } = await open(url);
  let received = 0;
  const told = new Promise<number>((resolve) => {
    ws.on('message', (data: Buffer) => {
      if (data.length === FRAME_BYTES) received++;
      else resolve((JSON.parse(data.toString()) as { count: number }).count);
    });
  });
  const begun = performance.now();
  ws.send(taskFrame({ task: job === 'up' ? 'count' : 'send', seconds, packed }));
  const sent = job === 'up' ? await sendFrames(ws, socket, seconds, packed) : 0;
  if (job === 'up') ws.send(taskFrame({ task: 'end' }));
  const count = await Promise.race([told, closed]);
  const ms = performance.now() - begun;
  if (count !== (job === 'up' ? sent : received)) throw new Error(`${count} of ${sent + received} frames`);
  await close(ws);
  return { count, ms };
}

async function echo({ url, seconds, perSecond }: Extract<Job, { job: 'echo' }>): Promise<Outcome> {
  const { ws, closed } = await open(url);
  const count = seconds * perSecond;
  const sentAt = new Float64Array(count);
  const micros: number[] = [];
  ws.send(taskFrame({ task: 'echo' }));
  const done = new Promise<void>((resolve) => {
    ws.on('message', (data: Buffer) => {
      micros.push((performance.now() - (sentAt[Number(data.toString())] as number)) * 1_000);
      if (micros.length === count) resolve();
    });
  });
  const begun = performance.now();
  for (let sent = 0; sent < count; await sleep(1)) {
    const due = Math.min(count, ((performance.now() - begun) * perSecond) / 1_000);
    for (; sent < due; sent++) {
      sentAt[sent] = performance.now();
      ws.send(String(sent).padStart(FRAME_BYTES, '0'));
    }
  }
  await Promise.race([done, closed]);
  await close(ws);
  return { micros: micros.sort((a, b) => a - b) };
}

async function openMany({ url, count }: Extract<Job, { job: 'open' }>): Promise<Outcome> {
  const begun = performance.now();
  let left = count;
  const opener = async (): Promise<void> => {
    while (left-- > 0) {
      const { ws } = await open(url);
      kept.push(ws);
    }
  };
  await Promise.all(Array.from({ length: OPENING }, opener));
  return { count: kept.length, ms: performance.now() - begun };
}

async function closeMany(): Promise<Outcome> {
  const begun = performance.now();
  const closing = kept.splice(0);
  // One that was lost meanwhile is no idle socket.
  const count = closing.filter((ws) => ws.readyState === ws.OPEN).length;
  await Promise.all(closing.map(close));
  return { count, ms: performance.now() - begun };
}

function run(job: Job): Promise<Outcome> {
  if (job.job === 'open') return openMany(job);
  if (job.job === 'close') return closeMany();
  return job.job === 'echo' ? echo(job) : oneWay(job);
}

process.on('message', (job: Job) => {
  const tell = (outcome: Outcome): void => void process.send?.(outcome);
  run(job).then(tell, (error: Error) => tell({ error: error.message }));
});
