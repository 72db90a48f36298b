/** Who calls in the corpus, and the two configurations by which they do. */
import { HOP_HEADER, HOP_VALUE, STAND_IN, USER_HEADER } from '../../helpers/hops.ts';
import { SOCKET_TOKENS } from '../../helpers/socket-bytes.ts';
import { caller, GATEWAY_SECRET, TOKENS } from '../../helpers/stack.ts';
import type { Hop, Variant } from './case.ts';

/** Callers with a policy of their own. */
export const POLICY_TOKENS = {
  nobody: 'nobody-token-0123456789-abcdef',
  chooser: 'chooser-token-0123456789-abcdef',
  strict: 'strict-token-0123456789-abcdefg',
  prefixed: 'prefixed-token-0123456789-abcde',
  pinned: 'pinned-token-0123456789-abcdefg',
  away: 'away-token-0123456789-abcdefghi',
  early: 'early-token-0123456789-abcdefgh',
  late: 'late-token-0123456789-abcdefghij',
} as const;

/** What each caller may do, as the gateway is told it. */
export const SCOPES: Readonly<Record<string, string>> = {
  reader: 'operator.read',
  writer: 'operator.read,operator.write',
  admin: 'operator.admin',
  signer: 'operator.admin',
  nobody: '',
  chooser: 'operator.read',
  strict: 'operator.read',
  prefixed: 'operator.admin',
  pinned: 'operator.admin',
};

const DAY_MS = 86_400_000;
const dayFrom = (offset: number): string => new Date(Date.now() + offset * DAY_MS).toISOString().slice(0, 10);
const until = (name: string, token: string, more: string): string =>
  caller(name, token, ['operator.read']).replace('" }], scopes', `", ${more} }], scopes`);

function callers(hop: Hop): string {
  const relay = 'websocket: relay';
  return [
    'callers:',
    caller('reader', TOKENS.reader, ['operator.read'], relay),
    caller('writer', TOKENS.writer, ['operator.read', 'operator.write'], relay),
    caller('admin', TOKENS.admin, ['operator.admin'], relay),
    caller('plain', SOCKET_TOKENS.plain, ['operator.read']),
    caller(
      'signer',
      SOCKET_TOKENS.signer,
      ['operator.admin'],
      hop === 'shim' ? relay : 'websocket: tunnel, unsafeTunnel: true',
    ),
    caller('nobody', POLICY_TOKENS.nobody, [], 'tools: [session_status]'),
    caller(
      'chooser',
      POLICY_TOKENS.chooser,
      ['operator.read'],
      'allowHeaders: [agent-id, session-key, model, message-channel]',
    ),
    caller('strict', POLICY_TOKENS.strict, ['operator.read'], 'onForbiddenHeader: refuse, allowHeaders: [model]'),
    caller('prefixed', POLICY_TOKENS.prefixed, ['operator.admin'], 'sessionPrefix: alice-'),
    caller('pinned', POLICY_TOKENS.pinned, ['operator.admin'], 'agent: main'),
    caller('away', POLICY_TOKENS.away, ['operator.read'], 'from: [203.0.113.0/24]'),
    until('early', POLICY_TOKENS.early, `notBefore: ${dayFrom(1)}`),
    until('late', POLICY_TOKENS.late, `expires: ${dayFrom(-1)}`),
  ].join('\n');
}

const AUTH: Readonly<Record<Hop, string>> = {
  token: '{ mode: token, secret: { env: SECRET } }',
  password: '{ mode: password, secret: { env: SECRET } }',
  none: '{ mode: none }',
  'trusted-proxy': `{ mode: trusted-proxy, userHeader: { env: USER_HEADER }, clientAddress: ${STAND_IN}, requiredHeaders: [{ name: { env: HOP_HEADER }, value: { env: HOP_VALUE } }] }`,
  shim: '{ mode: shim }',
};
const LISTEN: Readonly<Record<Variant, string>> = {
  plain: 'origins: ["https://app.example"], hosts: [Shim.Example]',
  open: 'origins: ["https://app.example"], health: true, trustedProxies: [127.0.0.1, 10.0.0.0/8], websocket: { firstFrameToken: true, subprotocolToken: true }',
};

/** More than this the bodies of the corpus must not have. */
export const BODY_LIMIT = 102_400;

/** All variables that the configurations name. */
export const ENV = { SECRET: GATEWAY_SECRET, USER_HEADER, HOP_HEADER, HOP_VALUE } as const;

/** Where things are: paths, and addresses. */
export interface Place {
  readonly hop: Hop;
  readonly variant: Variant;
  /** `host: …, port: 0` or `socket: …`, with `tls: …`. */
  readonly listen: string;
  readonly gatewayUrl: string;
  /** `gateway.tls`, where it is TLS. */
  readonly gatewayTls: string | undefined;
  readonly audit: string;
}

/** @returns the text of the configuration */
export function configuration({ hop, variant, listen, gatewayUrl, gatewayTls, audit }: Place): string {
  return [
    `listen: { ${listen}, ${LISTEN[variant]} }`,
    'gateway:',
    `  url: ${gatewayUrl}`,
    `  auth: ${AUTH[hop]}`,
    ...(gatewayTls === undefined ? [] : [`  tls: ${gatewayTls}`]),
    ...(hop === 'shim' ? [] : ['  deviceStore: memory']),
    callers(hop),
    `limits: { body: ${BODY_LIMIT} }`,
    `audit: { file: ${audit} }`,
    'admin: { port: 0 }',
  ].join('\n');
}

/** @returns what must be nowhere but where it belongs: every token, and what the hop keeps secret */
export function secretsOf(hop: Hop): string[] {
  const tokens = [...Object.values(TOKENS), ...Object.values(SOCKET_TOKENS), ...Object.values(POLICY_TOKENS)];
  const own = {
    token: [GATEWAY_SECRET],
    password: [GATEWAY_SECRET],
    'trusted-proxy': [USER_HEADER, HOP_HEADER, HOP_VALUE],
  };
  return [...tokens, ...(hop in own ? own[hop as keyof typeof own] : [])];
}
