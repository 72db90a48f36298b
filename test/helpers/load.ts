/** Many requests at once, and what became of each. */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';

/** One request, over. Times in milliseconds, `began` and `ended` on the clock of `performance`. */
export interface Answer {
  readonly path: string;
  /** 0 where no answer began. */
  readonly status: number;
  /** The shim's own error code, if it is one of its answers. */
  readonly code: string | undefined;
  /** Whether it came to its proper end. */
  readonly whole: boolean;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  readonly began: number;
  readonly ended: number;
}

export interface Question {
  readonly method?: string;
  readonly path?: string;
  readonly token: string;
  readonly body?: string;
  /** The body is sent when this has settled. */
  readonly bodyAfter?: Promise<unknown>;
  /** The caller's own address. */
  readonly from?: string;
  readonly agent?: Agent;
  /** Milliseconds after which it hangs; 15 s unless told otherwise. */
  readonly limit?: number;
  /** Is told when the answer has begun. */
  readonly onHead?: () => void;
}

/** A request that takes longer hangs. */
const HANGS_MS = 15_000;

/**
 * @param port on 127.0.0.1
 * @param question what to ask
 * @returns what became of it; it never rejects
 */
export function ask(port: number, question: Question): Promise<Answer> {
  const {
    method = 'GET',
    path = '/v1/models',
    token,
    body,
    bodyAfter,
    from,
    agent,
    onHead,
    limit = HANGS_MS,
  } = question;
  const began = performance.now();
  return new Promise((resolve) => {
    let status = 0;
    let text = '';
    let headers: Answer['headers'] = {};
    const req = request({
      host: '127.0.0.1',
      port,
      method,
      path,
      agent: agent ?? false,
      ...(from !== undefined && { localAddress: from }),
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
    });
    const over = (whole: boolean): void => {
      clearTimeout(timer);
      const code = /^\{"error":\{[^]*"code":"(\w+)"/.exec(text)?.[1];
      resolve({ path, status, code, whole, headers, body: text, began, ended: performance.now() });
    };
    const timer = setTimeout(() => req.destroy(new Error('it hangs')), limit);
    req.on('response', (res) => {
      status = res.statusCode ?? 0;
      headers = res.headers;
      onHead?.();
      res.setEncoding('utf8').on('data', (part: string) => (text += part));
      res.on('error', () => undefined);
      res.once('close', () => over(res.complete));
    });
    req.on('error', () => over(false));
    if (bodyAfter) {
      req.flushHeaders();
      void bodyAfter.then(() => req.end(body));
    } else req.end(body);
  });
}

export interface Load {
  /** What is over, in the order of the ends. */
  readonly answers: readonly Answer[];
  /** Settles when the condition holds, which is asked after every answer. */
  until(condition: (answers: readonly Answer[]) => boolean): Promise<void>;
  /** Begins nothing more. Settles with all answers when the last is there. */
  stop(): Promise<readonly Answer[]>;
}

/**
 * @param workers how many requests are under way at once
 * @param next asks; gets the number of the worker and of its request
 * @returns the load, which goes on until it is stopped
 */
export function startLoad(workers: number, next: (worker: number, nth: number) => Promise<Answer>): Load {
  const answers: Answer[] = [];
  const waiting = new Set<() => void>();
  let stopped = false;
  const work = async (worker: number): Promise<void> => {
    for (let nth = 0; !stopped; nth++) {
      answers.push(await next(worker, nth));
      for (const look of waiting) look();
    }
  };
  const all = Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  return {
    answers,
    until: (condition) =>
      new Promise((resolve, reject) => {
        const limit = setTimeout(
          () => reject(new Error(`it did not come to it; the last of ${answers.length}: ${told(answers.slice(-20))}`)),
          HANGS_MS,
        );
        const look = (): void => {
          if (!condition(answers)) return;
          clearTimeout(limit);
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    async stop() {
      stopped = true;
      await all;
      return answers;
    },
  };
}

/** @returns connections that are kept, as many as workers need */
export function keepAlive(): Agent {
  return new Agent({ keepAlive: true });
}

/** @returns how often each outcome is there: `200`, `200 broken`, `502 gateway_unreachable`, `0 broken` */
export function outcomes(answers: readonly Answer[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const answer of answers) {
    const outcome = outcomeOf(answer);
    found[outcome] = (found[outcome] ?? 0) + 1;
  }
  return found;
}

/** @returns as in `outcomes` */
export function outcomeOf({ status, code, whole }: Answer): string {
  return `${status}${code === undefined ? '' : ` ${code}`}${whole ? '' : ' broken'}`;
}

/** @returns the time that so much of them stayed within, in whole milliseconds */
export function percentile(answers: readonly Answer[], part: number): number {
  const times = answers.map(({ began, ended }) => ended - began).sort((a, b) => a - b);
  return Math.round(times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0);
}

function told(answers: readonly Answer[]): string {
  return JSON.stringify(outcomes(answers));
}
