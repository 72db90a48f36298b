/** What of an answer, a WebSocket, or the bytes at the gateway is not as a case has it. */
import { foldName } from '../../../src/headers/families.ts';
import type { RawRequest } from '../../helpers/requests.ts';
import { readResponses, type RawResponse } from '../../helpers/responses.ts';
import { told } from '../../helpers/socket-bytes.ts';
import type { Answer, Case } from './case.ts';
import { expectedBytes, identity, named } from './expected.ts';
import type { Rig } from './rig.ts';

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Only the answer to HEAD has no body; it stands alone. */
export function methodsOf({ send }: Case): string[] {
  return send.startsWith('HEAD ') ? ['HEAD'] : [];
}

/** @returns the ids of the answers */
export function answerFailures(one: Case, text: string, failures: string[]): string[] {
  let responses: RawResponse[];
  try {
    responses = readResponses(text, methodsOf(one), one.closed);
  } catch (error) {
    failures.push((error as Error).message);
    return [];
  }
  if (responses.length !== one.answers.length) {
    failures.push(`${responses.length} answers, not ${one.answers.length}: ${JSON.stringify(text.slice(0, 2_000))}`);
  }
  one.answers.forEach((answer, i) => {
    const response = responses[i];
    if (!response) return;
    failures.push(...wrongIn(answer, response, one));
    const last = i === one.answers.length - 1;
    const says = last && one.closed ? 'close' : 'keep-alive';
    if (answer.whole !== false && response.headers.connection !== says) {
      failures.push(`answer ${i + 1} says connection: ${response.headers.connection}, not ${says}`);
    }
  });
  return responses.flatMap(({ headers }) => headers['x-request-id'] ?? []);
}

function* wrongIn(answer: Answer, { status, headers, body, complete }: RawResponse, { send }: Case): Iterable<string> {
  if (status !== answer.status) yield `status ${status}, not ${answer.status}: ${body.slice(0, 500)}`;
  if (!ID.test(headers['x-request-id'] ?? '')) yield `x-request-id ${headers['x-request-id']}`;
  if (answer.whole === false) {
    // A length that is not reached, or no last chunk: nothing may look like a clean end.
    if (headers['transfer-encoding'] === undefined && headers['content-length'] === undefined) yield 'no framing';
    if (complete && headers['transfer-encoding'] !== undefined) yield 'it ended as if it were whole';
    if (headers['content-length'] === String(body.length)) yield 'it ended as if it were whole';
  }
  if (answer.body !== undefined && body !== answer.body) yield `body ${JSON.stringify(body)}`;
  if (answer.code !== undefined && send.startsWith('HEAD ')) {
    if (body !== '') yield `a body for HEAD: ${body}`;
  } else if (answer.code !== undefined) {
    const { error } = parsed(body);
    if (error?.code !== answer.code) yield `code ${String(error?.code)}, not ${answer.code}`;
    if (typeof error?.message !== 'string' || typeof error.type !== 'string' || error.param !== null) {
      yield `body ${body}`;
    }
  }
  for (const [name, expected] of Object.entries(answer.headers ?? {})) {
    const value = headers[name];
    const fits = expected instanceof RegExp ? expected.test(value ?? '') : value === (expected ?? undefined);
    if (!fits) yield `header ${name} is ${value}, not ${expected}`;
  }
}

interface ErrorBody {
  readonly error?: {
    readonly code?: unknown;
    readonly message?: unknown;
    readonly type?: unknown;
    readonly param?: unknown;
  };
}

function parsed(body: string): ErrorBody {
  try {
    return JSON.parse(body) as ErrorBody;
  } catch {
    return {};
  }
}

/** @returns the id of the WebSocket */
export function socketFailures({ socket }: Case, text: string, failures: string[]): string[] {
  const { head, messages, close } = told(text);
  const code = socket?.code;
  if (!head.startsWith('HTTP/1.1 101 ')) failures.push(`no 101: ${JSON.stringify(text.slice(0, 1_000))}`);
  if (close?.code !== socket?.close) failures.push(`closed with ${close?.code}, not ${socket?.close}`);
  const codes = messages.map(({ error }) => (error as { details?: { code?: unknown } } | undefined)?.details?.code);
  if (codes.join() !== (code ?? '')) failures.push(`told ${JSON.stringify(messages)}, not ${code}`);
  const id = /\r\nx-request-id: (.*?)(?:\r\n|$)/.exec(head)?.[1];
  if (id === undefined || !ID.test(id)) failures.push(`x-request-id ${id}`);
  return id === undefined ? [] : [id];
}

export function gatewayFailures({ gateway, way }: Rig, one: Case, failures: string[]): void {
  const { whole, cut, rest, faults } = gateway.seen();
  failures.push(...faults.map((fault) => `at the gateway: ${fault}`));
  if (rest !== '') failures.push(`at the gateway, neither whole nor ended: ${JSON.stringify(rest)}`);
  for (const [what, got, expected] of [
    ['whole', whole.map(({ bytes }) => bytes), one.gateway.filter(({ cut }) => !cut)],
    ['ended before its end', cut, one.gateway.filter(({ cut }) => cut)],
  ] as const) {
    const right = expected.map((forwarded) => shown(expectedBytes(forwarded, way)));
    const bytes = got.map((text, i) => {
      const { length } = expected[i]?.cut === 'more' ? expectedBytes(expected[i], way) : text;
      return shown(named(text).slice(0, length));
    });
    if (bytes.join('\n') === right.join('\n')) continue;
    failures.push(
      `at the gateway, ${what}: ${bytes.join('\n') || 'nothing'}\nexpected: ${right.join('\n') || 'nothing'}`,
    );
  }
  whole.forEach((request, i) => {
    const forwarded = one.gateway[i];
    if (forwarded) failures.push(...notOnce(request, identity(forwarded, way)));
  });
}

/** Each header that only the shim sets is there exactly once, by any spelling, with its value. */
function* notOnce({ rawHeaders }: RawRequest, ours: readonly string[]): Iterable<string> {
  for (let i = 0; i < ours.length; i += 2) {
    const name = foldName(ours[i] as string);
    const values = rawHeaders.filter((_, at) => at % 2 === 1 && foldName(rawHeaders[at - 1] as string) === name);
    if (values.length !== 1 || values[0] !== ours[i + 1]) yield `${ours[i]} at the gateway: ${JSON.stringify(values)}`;
  }
}

function shown(bytes: string): string {
  return JSON.stringify(
    bytes.length > 4_000 ? `${bytes.slice(0, 2_000)}…${bytes.length}…${bytes.slice(-1_000)}` : bytes,
  );
}
