/** Configurations as text, and the frames that the shim makes itself. */
import fc from 'fast-check';
import { ConfigError } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { buildConnect, readConnect, scopesFor, withoutDevice } from '../../src/gateway/connect.ts';
import { createDevice } from '../../src/gateway/device.ts';
import { hasScope, intersectScopes } from '../../src/scopes.ts';
import { SCOPES, type Scope } from '../../src/types.ts';
import { FILE, worldOf } from '../helpers/configuration.ts';
import { hashOf } from '../helpers/stack.ts';

const scopes = fc.uniqueArray(fc.constantFrom<Scope>(...SCOPES));

/** Whoever is allowed more, or asks for more, never gets less; nobody gets more than either side has. */
export const scopesGrowTogether = fc.property(scopes, scopes, scopes, (asked, allowed, more) => {
  const got = intersectScopes(asked, allowed);
  const within = (one: readonly Scope[], other: readonly Scope[]): boolean =>
    one.every((scope) => hasScope(other, scope));
  return (
    within(got, asked) &&
    within(got, allowed) &&
    within(got, intersectScopes(asked, [...allowed, ...more])) &&
    within(got, intersectScopes([...asked, ...more], allowed))
  );
});

const SECRET = 'Zk3mQ8vT1xYw0pLs';
const TEXT = `listen: { port: 0, hosts: [shim.example] }
gateway:
  url: http://127.0.0.1:18789
  auth:
    mode: token
    secret: MARK${SECRET}
callers:
  - name: writer
    tokens:
      - hash: ${hashOf('token-of-the-writer-0123456789abcdef')}
    scopes: [operator.read, operator.write]
limits: { body: 1MiB }
admin: { port: 18781 }
`;
/** What YAML may take the text behind it for: a tag, an alias, an anchor, a block, a quoted text, a list or a map. */
const MARKS = [
  '',
  '!',
  '!!',
  '*',
  '&',
  '%',
  '@',
  '`',
  '|',
  '>',
  '"',
  "'",
  '{',
  '[',
  '- ',
  '? ',
  '<<: *',
  '{ env: ',
  '{ file: ',
];
const edit = fc.record({
  at: fc.nat(TEXT.length),
  length: fc.nat(30),
  put: fc.oneof(
    fc.constantFrom(
      '',
      '\n',
      '  ',
      '\t',
      ':',
      '- ',
      '#',
      '---\n',
      '...\n',
      '&a ',
      '*a',
      '!!binary ',
      '"',
      '{',
      '\u0000',
      '__proto__: 1\n',
      'callers: []\n',
    ),
    fc.string({ maxLength: 6 }),
  ),
});

/**
 * What was typed for a secret stands in no message: not where it is refused, nor where it breaks the text. An edit may
 * make it the name of a key, or a mode, which messages do name.
 */
export const textsLoadOrSayWhere = fc.asyncProperty(
  fc.constantFrom(...MARKS),
  fc.array(edit, { maxLength: 3 }),
  async (mark, edits) => {
    let text = TEXT.replace('MARK', mark);
    for (const { at, length, put } of edits) text = text.slice(0, at) + put + text.slice(at + length);
    try {
      await parseConfig(FILE, text, worldOf());
      return true;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const { message, issues } = error;
      const own = issues.filter(
        ({ path }) => path === '' || path.startsWith('gateway.auth.secret') || edits.length === 0,
      );
      const shown = own.some(({ message: words, path }) =>
        [0, 4, 8].some((from) => `${path} ${words}`.includes(SECRET.slice(from, from + 8))),
      );
      const placed = issues.every(({ line, message: words }) => line !== undefined || words === 'the file is empty');
      if (shown || !placed) throw new Error(JSON.stringify({ text, message }));
      return true;
    }
  },
);

const MINE = 'of-the-caller-alone';
const member = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(MINE, [MINE], { a: MINE }));
const asked = fc.record(
  {
    client: member,
    device: member,
    auth: fc.oneof(member, fc.constant({ token: MINE, password: MINE })),
    scopes: fc.oneof(member, fc.array(fc.oneof(fc.constantFrom<string>(...SCOPES), fc.constant(MINE)))),
    caps: fc.oneof(member, fc.constant(['tool-events', MINE])),
    locale: fc.oneof(fc.constantFrom('en', `${MINE}"`, 1)),
    userAgent: member,
    pathEnv: member,
  },
  { requiredKeys: [] },
);
const DEVICE = createDevice();
const KEYS = ['auth', 'caps', 'client', 'device', 'locale', 'maxProtocol', 'minProtocol', 'role', 'scopes'];

/** The gateway is asked in the shim's words: of the caller's frame nothing comes through but what is meant to. */
export const connectsAreOurs = fc.property(asked, scopes, (params, allowed) => {
  const frame = { type: 'req', id: '1', method: 'connect', params: { minProtocol: 3, maxProtocol: 4, ...params } };
  const read = readConnect(Buffer.from(JSON.stringify(frame)));
  if ('fault' in read) return true;
  const given = scopesFor(read.scopes, allowed);
  const who = {
    asked: read,
    caller: 'writer',
    instance: undefined,
    scopes: given,
    device: DEVICE,
    auth: { token: 'ours' },
    version: '1',
  };
  const text = buildConnect('7', who, { nonce: 'n', ts: 1 });
  const built = JSON.parse(text) as { params: { scopes: Scope[]; auth: unknown; device: { id: string } } };
  return (
    !text.includes(MINE) &&
    Object.keys(built.params).every((key) => KEYS.includes(key)) &&
    JSON.stringify(built.params.auth) === '{"token":"ours"}' &&
    built.params.device.id === DEVICE.id &&
    built.params.scopes.every((scope) => hasScope(allowed, scope))
  );
});

/** The id of the shim's device stands in no error that the caller gets, and nothing else is taken from it. */
export const errorsNameNoDevice = fc.property(
  fc.dictionary(
    fc.constantFrom('code', 'message', 'details'),
    fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom('deviceId', 'requestId'), fc.jsonValue())),
  ),
  (error) => {
    const details = withoutDevice(error).details;
    return (
      typeof details !== 'object' || details === null || Array.isArray(details) || !Object.hasOwn(details, 'deviceId')
    );
  },
);
