/** What one case of the corpus is: bytes in, and exactly what comes of them on both sides. */
import { get } from '../../helpers/request-bytes.ts';
import { TOKENS } from '../../helpers/stack.ts';
import type { RowId } from './rows.ts';

/** Every way in which a gateway can authenticate the shim: `gateway.auth.mode`. */
export type Hop = 'token' | 'password' | 'none' | 'trusted-proxy' | 'shim';
export const HOPS: readonly Hop[] = ['token', 'password', 'none', 'trusted-proxy', 'shim'];

/** Two configurations are enough: one as people have it, one with everything on that is off by default. */
export type Variant = 'plain' | 'open';
export const VARIANTS: readonly Variant[] = ['plain', 'open'];

/** How callers reach the shim. */
export type Transport = 'tcp' | 'tls' | 'unix';
export const TRANSPORTS: readonly Transport[] = ['tcp', 'tls', 'unix'];

/** One final answer that the caller gets. */
export interface Answer {
  readonly status: number;
  /** `error.code` of the body: the shim's own answers have one. */
  readonly code?: string;
  /** The whole body. */
  readonly body?: string;
  /** `false`: it breaks off, and the connection with it. */
  readonly whole?: false;
  /** By name in lower case; `null`: it must not be there. */
  readonly headers?: Readonly<Record<string, string | RegExp | null>>;
}

/** One request that the gateway gets, byte for byte: what the shim sets is added by hop. */
export interface Forwarded {
  /** Method and target; `GET /v1/models` by default. */
  readonly line?: string;
  /** Whose it is; `null` where it was let through for nobody. */
  readonly caller: string | null;
  /** Where they are not all that the caller has, or written in another way. */
  readonly scopes?: string;
  /** Names and values of the caller's own that pass, alternating. */
  readonly kept?: readonly string[];
  /** What of the gateway's own headers a caller may choose, or is given; names and values, alternating. */
  readonly chosen?: readonly string[];
  /** `Host` as the caller sent it. */
  readonly host?: string;
  /** The caller's address where proxies are trusted. */
  readonly client?: string;
  /** Framing line and body. */
  readonly framing?: string;
  readonly body?: string;
  /** It is these bytes and never whole: the shim ends its connection. `more`: further bytes of the body may follow. */
  readonly cut?: true | 'more';
  /** It asks for a WebSocket. */
  readonly socket?: 'relay' | 'tunnel';
}

/** What is sent next, once the caller has its challenge, or bytes at the gateway end so. */
export interface Step {
  readonly bytes: string | Buffer;
  readonly after: 'challenge' | { readonly gateway: string };
}

/** What the gateway sends for the request, in place of `{}` with a length. */
export interface Reply {
  readonly bytes: string;
  /** It ends the connection behind them. */
  readonly ends?: true;
}

export interface Case {
  /** Row of `rows.ts`. */
  readonly row: RowId;
  /** Row and title are its id. */
  readonly title: string;
  /** One byte a character. */
  readonly send: string;
  readonly next?: Step;
  readonly variant?: Variant;
  /** The hops where it means something, if not all. */
  readonly hops?: readonly Hop[];
  /** The transports where it means something, if not all: a caller on a unix socket has no address. */
  readonly over?: readonly Transport[];
  readonly reply?: Reply;
  /** None where the shim answers nothing. */
  readonly answers: readonly Answer[];
  /** A WebSocket that is opened, and what its caller is told: the close code, and the code of an error before it. */
  readonly socket?: { readonly close?: number; readonly code?: string };
  /** Whether the shim ends the connection. */
  readonly closed: boolean;
  /** Requests at the gateway, in order. Without any not a byte of it gets there. */
  readonly gateway: readonly Forwarded[];
  /** How many the audit says were let in, where their own body or first frame then kept them from the gateway. */
  readonly admitted?: number;
  /** `error.code` in the log, where it is not that of the answer. */
  readonly logged?: string;
}

/** @returns row and title */
export function idOf({ row, title }: Pick<Case, 'row' | 'title'>): string {
  return `${row} ${title}`;
}

/** What may be said of a refusal beside its code. */
type MoreOf = Partial<
  Pick<Case, 'variant' | 'hops' | 'over' | 'closed' | 'next' | 'gateway' | 'admitted' | 'logged'>
> & {
  readonly headers?: Answer['headers'];
};

/** Which codes keep the connection, where no body is unread. */
const KEEPING: ReadonlySet<number> = new Set([403, 404, 405]);

/** @returns a request that is refused: the gateway gets nothing of it */
export function refused(
  row: RowId,
  title: string,
  send: string,
  status: number,
  code: string,
  { headers, ...more }: MoreOf = {},
): Case {
  const answer = { status, code, ...(headers && { headers }) };
  return { row, title, send, answers: [answer], closed: !KEEPING.has(status), gateway: [], ...more };
}

/** @returns a malformed request */
export function bad(row: RowId, title: string, send: string, more: MoreOf = {}): Case {
  return refused(row, title, send, 400, 'bad_request', more);
}

/** @returns a request that the gateway gets as `forwarded` and answers */
export function passed(row: RowId, title: string, send: string, forwarded: Forwarded, more: Partial<Case> = {}): Case {
  const closed = /^connection:[^\r\n]*\bclose\b/im.test(send);
  return { row, title, send, answers: [{ status: 200, body: '{}' }], closed, gateway: [forwarded], ...more };
}

/** @returns header lines of a good request, and what of them the gateway gets */
export function lines(
  row: RowId,
  title: string,
  sent: readonly string[],
  kept: readonly string[] = [],
  more: Partial<Case> = {},
): Case {
  const send = get('/v1/models', sent.map((line) => `${line}\r\n`).join(''), TOKENS.reader);
  return passed(row, title, send, { caller: 'reader', kept }, more);
}
