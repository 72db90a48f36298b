/** The mixed load of the soak: each kind of request at its rate, what may become of it, and what became of it. */
import { Agent, get, request } from 'node:http';
import { WebSocket } from 'ws';
import { ask, outcomeOf, type Question } from '../helpers/load.ts';
import { TOKENS } from '../helpers/stack.ts';
import type { Span, World } from './world.ts';

const STREAM = JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'Hello' }] });
const CHAT = { method: 'POST', path: '/v1/chat/completions', body: STREAM } as const;
const DONE = 'data: [DONE]\n\n';
/** Of a slow peer, in ms: that long nothing moves. */
const SLOW_MS = 1_500;
const HELD_MS = 6_000;
/** Longer than everything here takes, also where a machine with other work holds shim, gateway and this process up. */
const STUCK_MS = 60_000;

/** Everything here is over by then on a machine that has nothing else to do. */
const LONG_MS = 10_000;

interface Kind {
  readonly name: string;
  readonly perSecond: number;
  /** What it comes to where nobody does anything to shim or gateway. */
  readonly fine: readonly string[];
  /** @returns what it came to */
  readonly run: (nth: number) => Promise<string>;
}

/** What may come of a gateway that is killed, of a token that is revoked, in the middle of it. */
const KILLED = [
  '502 gateway_unreachable',
  '502 gateway_bad_response',
  '200 broken',
  '200 broken, told',
  'closed 1008',
  'closed 1012',
  'closed 1014',
];
/** Whose token is wrong while too many logins of its address fail is told that. */
const REVOKED = [
  '401 invalid_token',
  '429 rate_limited',
  '200 broken, told',
  'refused 401',
  'refused 429',
  'closed 1008',
];

/** How many came to what, by kind. */
export interface Account {
  readonly sent: Map<string, number>;
  /** `kind: outcome`, as it should be. */
  readonly fine: Map<string, number>;
  /** Ended by a kill or a revocation. */
  readonly ended: Map<string, number>;
  /** Nobody knows why. */
  readonly lost: Map<string, number>;
  /** The lost ones, each with its time. */
  readonly cases: string[];
  /** Those that took long, each with its time. */
  readonly slow: string[];
  /** Milliseconds of the slowest, by kind. */
  readonly slowest: Map<string, number>;
}

export interface Load {
  readonly account: Account;
  /** Sends for so long, then waits for the ends of all. */
  run(ms: number): Promise<void>;
}

/** @param world where it is sent */
export function createLoad(world: World): Load {
  const account: Account = {
    sent: new Map(),
    fine: new Map(),
    ended: new Map(),
    lost: new Map(),
    cases: [],
    slow: [],
    slowest: new Map(),
  };
  const count = (of: Map<string, number>, name: string): unknown => of.set(name, (of.get(name) ?? 0) + 1);

  async function one({ name, fine, run }: Kind, nth: number, token: string | undefined): Promise<void> {
    const began = performance.now();
    count(account.sent, name);
    let timer: NodeJS.Timeout | undefined;
    const stuck = new Promise<string>((resolve) => (timer = setTimeout(resolve, STUCK_MS, 'stuck')));
    const outcome = await Promise.race([run(nth), stuck]);
    clearTimeout(timer);
    const took = Math.round(performance.now() - began);
    if (took > LONG_MS)
      account.slow.push(`${name}: ${outcome} after ${took} ms, begun at ${Math.round(began / 1000)} s`);
    account.slowest.set(name, Math.max(took, account.slowest.get(name) ?? 0));
    const during = (spans: readonly Span[]): boolean =>
      spans.some(({ from, to }) => began < to && performance.now() > from);
    if (fine.includes(outcome)) count(account.fine, `${name}: ${outcome}`);
    else if (during(world.kills.slice(-2)) && KILLED.includes(outcome)) count(account.ended, `${name}: ${outcome}`);
    else if (token && during(world.reloads.slice(-4)) && REVOKED.includes(outcome))
      count(account.ended, `${name}: ${outcome}`);
    else {
      count(account.lost, `${name}: ${outcome}`);
      account.cases.push(`${name}: ${outcome} after ${took} ms, begun at ${Math.round(began / 1000)} s`);
    }
  }

  return {
    account,
    async run(ms) {
      // In turn, so that none is idle for as long as the shim keeps it.
      const agent = new Agent({ keepAlive: true, scheduling: 'fifo' });
      const running = new Set<Promise<void>>();
      const timers = kinds(world, agent).map((kind) => {
        let nth = 0;
        return setInterval(() => {
          const done = one(kind, nth++, kind.name.startsWith('revoked') ? world.rotatingToken() : undefined);
          running.add(done);
          void done.finally(() => running.delete(done));
        }, 1_000 / kind.perSecond);
      });
      await new Promise((resolve) => setTimeout(resolve, ms));
      for (const timer of timers) clearInterval(timer);
      while (running.size > 0) await Promise.all(running);
      agent.destroy();
    },
  };
}

function kinds(world: World, agent: Agent): Kind[] {
  const { port } = world;
  const asked = async (question: Question): Promise<string> => {
    const answer = await ask(port, { agent, limit: STUCK_MS, ...question });
    if (answer.status === 200 && answer.whole && question.body === STREAM && !answer.body.endsWith(DONE))
      return 'half, ended well';
    return `${outcomeOf(answer)}${answer.body.includes('event: error\n') ? ', told' : ''}`;
  };
  const refused: readonly Question[] = [
    { token: TOKENS.reader, ...CHAT },
    { token: TOKENS.writer, path: '/nowhere' },
    { token: TOKENS.writer, path: '/v1/models;x' },
    { token: 'nobody-token-0123456789-abcdef' },
  ];
  const refusals = [
    '403 insufficient_scope',
    '404 route_not_exposed',
    '400 bad_request',
    '401 invalid_token',
    '429 rate_limited',
  ];
  return [
    { name: 'small GET', perSecond: 60, fine: ['200'], run: () => asked({ token: TOKENS.reader }) },
    {
      name: 'small POST',
      perSecond: 40,
      fine: ['200'],
      run: () =>
        asked({
          token: TOKENS.writer,
          method: 'POST',
          path: '/v1/embeddings',
          body: '{"model":"openclaw","input":"x"}',
        }),
    },
    { name: 'stream', perSecond: 8, fine: ['200'], run: () => asked({ token: TOKENS.writer, ...CHAT }) },
    { name: 'refused', perSecond: 16, fine: refusals, run: (nth) => asked(refused[nth % refused.length] as Question) },
    {
      name: 'slow sender',
      perSecond: 2,
      fine: ['200'],
      run: () => asked({ token: TOKENS.writer, ...CHAT, bodyAfter: pause(SLOW_MS) }),
    },
    { name: 'slow reader', perSecond: 0.5, fine: ['16777216 bytes'], run: () => readSlowly(port) },
    { name: 'hang-up', perSecond: 4, fine: ['hung up'], run: () => hangUp(port) },
    { name: 'socket', perSecond: 3, fine: ['answered, closed 1000'], run: () => socket(port, TOKENS.writer, 0) },
    {
      name: 'revoked stream',
      perSecond: 2,
      fine: ['200'],
      run: () => asked({ token: world.rotatingToken(), ...CHAT }),
    },
    {
      name: 'revoked socket',
      perSecond: 1,
      fine: ['answered, closed 1000'],
      run: () => socket(port, world.rotatingToken(), HELD_MS),
    },
  ];
}

function readSlowly(port: number): Promise<string> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${TOKENS.writer}` };
    const req = get({ host: '127.0.0.1', port, path: '/sessions/flood/history', headers, agent: false }, (res) => {
      let bytes = 0;
      let text = '';
      res.on('error', () => undefined);
      res.on('close', () => {
        const code = /"code":"(\w+)"/.exec(text)?.[1];
        if (res.statusCode !== 200) resolve(`${res.statusCode} ${code}`);
        else resolve(res.complete ? `${bytes} bytes` : '200 broken');
      });
      void pause(SLOW_MS).then(() =>
        res.on('data', (part: Buffer) => {
          bytes += part.length;
          if (res.statusCode !== 200) text += part.toString();
        }),
      );
    });
    req.on('error', () => resolve('0 broken'));
  });
}

/** In the middle of a reply. */
function hangUp(port: number): Promise<string> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${TOKENS.writer}`, 'content-type': 'application/json' };
    const { method, path, body } = CHAT;
    const req = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (res) => {
      res.on('error', () => undefined);
      if (res.statusCode !== 200) {
        let text = '';
        res.on('data', (part: Buffer) => (text += part.toString()));
        res.on('close', () => resolve(`${res.statusCode} ${/"code":"(\w+)"/.exec(text)?.[1]}`));
        return;
      }
      res.once('close', () => resolve('200 broken'));
      res.once('data', () => {
        resolve('hung up');
        req.destroy();
      });
    });
    req.on('error', () => resolve('0 broken'));
    req.end(body);
  });
}

function socket(port: number, token: string, holdMs: number): Promise<string> {
  return new Promise((resolve) => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { authorization: `Bearer ${token}` } });
    let answered = '';
    let timer: NodeJS.Timeout | undefined;
    const send = (id: string, method: string, params: unknown): void =>
      ws.send(JSON.stringify({ type: 'req', id, method, params }));
    ws.on('unexpected-response', (_, res) => {
      resolve(`refused ${res.statusCode}`);
      res.destroy();
    });
    ws.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as { event?: string; id?: string; ok?: boolean };
      if (frame.event === 'connect.challenge')
        send('c', 'connect', { minProtocol: 3, maxProtocol: 4, role: 'operator' });
      else if (frame.id === 'c' && frame.ok) send('r', 'sessions.list', {});
      else if (frame.id === 'r' && frame.ok) {
        answered = 'answered, ';
        timer = setTimeout(() => ws.close(1000), holdMs);
      }
    });
    ws.on('error', () => undefined);
    ws.on('close', (code) => {
      clearTimeout(timer);
      resolve(`${code === 1000 ? answered : ''}closed ${code}`);
    });
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
