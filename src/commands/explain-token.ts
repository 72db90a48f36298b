/** `auth-shim explain --token -`: what each check of the shim finds about a token. */
import type { Answer } from '../callers/table.ts';
import { ERRORS, type ErrorCode } from '../errors.ts';
import type { Caller } from '../types.ts';
import { loadOrTell } from './config-world.ts';
import { EXIT } from './exit.ts';
import { areHeaders, explainRequest, requestText, type AskedRequest } from './explain.ts';
import { findingsOf, type Finding } from './token-findings.ts';
import type { World } from './world.ts';

export interface ExplainTokenOptions extends Partial<AskedRequest> {
  readonly config: string;
  /** `-`: stdin. */
  readonly token: string;
  readonly json?: boolean | undefined;
}

/** What a `Date` can be (ECMA-262 section 21.4.1.1); the tolerance of an issuer may lead beyond it. */
const LAST_MS = 8.64e15;

/** Characters of a line; no credential of an HTTP request is read beyond them. */
const LONGEST = 8 * 1024;

/**
 * Asks the same table of callers that serves about the token on stdin, and prints what each check found; then, where a
 * request is asked for, what the gate decides about it. Neither the token nor its signature is printed, and of its
 * claims only those that checks are about.
 *
 * @param world streams, clock
 * @param options what the command line says
 * @returns 0 where the request, or without one the token, would pass; 1 where not; 2 for a token that is no line on stdin;
 *   78 for a configuration that cannot run
 */
export async function runExplainToken(world: World, options: ExplainTokenOptions): Promise<number> {
  const { token: source, method, path, headers = [], websocket = false } = options;
  if (source !== '-') return usage(world, ON_STDIN);
  if (!areHeaders(world, headers)) return EXIT.usage;
  const request = method !== undefined && path !== undefined ? { method, path, headers, websocket } : undefined;
  if (!request && (method !== undefined || headers.length > 0 || websocket)) {
    return usage(world, 'a request has a method and a path: --token - METHOD PATH');
  }
  const loaded = await loadOrTell(world, options.config);
  if (!loaded) return EXIT.config;
  const token = (await world.stdin()).replace(/\r?\n$/, '');
  if (token === '' || token.length > LONGEST || /[\r\n]/.test(token)) {
    return usage(world, `expected a token on stdin: one line of at most ${LONGEST} characters`);
  }

  const { config } = loaded;
  const { findings, answer, id } = await findingsOf(world, config, token);
  const decided = request && explainRequest(world, config, answer, request);
  const report = { token: { id, findings, ...answerOf(answer) }, ...decided };
  const who = report.token.caller ?? 'nobody';
  if (options.json) world.stdout(`${JSON.stringify(report, undefined, 2)}\n`);
  else world.stdout(text(report.token) + (request && decided ? `\n${requestText(who, request, decided)}` : ''));
  return (decided ? decided.decision === 'forward' : answer.kind === 'caller') ? EXIT.ok : EXIT.no;
}

const ON_STDIN =
  'a token never belongs on a command line: every process of this machine can read it there, and the shell keeps it in ' +
  'its history. Write "--token -" and give it on stdin: auth-shim explain --token - < token.txt. ' +
  'One that was written there should be replaced';

function usage(world: World, words: string): number {
  world.stderr(`${words}\n`);
  return EXIT.usage;
}

/** Who is named, or what a request with this token is answered. */
interface Verdict {
  readonly caller?: string;
  readonly scopes?: Caller['scopes'];
  /** From when on it is not taken, ISO 8601. */
  readonly expires?: string;
  readonly status?: number;
  readonly code?: ErrorCode;
  readonly message?: string;
}

function answerOf(answer: Answer): Verdict {
  if (answer.kind === 'refuse') {
    const { status, message } = ERRORS[answer.code];
    return { status, code: answer.code, message: answer.message ?? message };
  }
  const { caller, token } = answer;
  const { expires } = token ?? {};
  return {
    caller: caller.name,
    scopes: caller.scopes,
    ...(expires !== undefined && { expires: new Date(Math.min(expires, LAST_MS)).toISOString() }),
  };
}

const MARKS = { passed: 'ok', refused: 'no', unavailable: '?', 'not reached': '-' } as const;

function text({ id, findings, ...verdict }: Verdict & { id: string; findings: readonly Finding[] }): string {
  const { caller, scopes = [], status, code, message } = verdict;
  const lines = findings.map(({ check, result, words }) =>
    `${MARKS[result].padEnd(3)} ${check.padEnd(9)}  ${words}`.trimEnd(),
  );
  const end =
    caller === undefined
      ? `refuse: ${status} ${code}\n          ${message}`
      : `${caller}: ${scopes.join(', ') || 'no scope'}`;
  return `token     ${id}\n${lines.join('\n')}\n${caller === undefined ? 'decision' : 'caller  '}  ${end}\n`;
}
