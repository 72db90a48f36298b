/** What WebSocket frames must look like: the gateway's own checks, told in its own words. */

export interface RequestFrame {
  readonly type: 'req';
  readonly id: string;
  readonly method: string;
  readonly params?: unknown;
}

/** What a client asks in its first frame. */
export interface ConnectParams {
  readonly minProtocol: number;
  readonly maxProtocol: number;
  readonly client: {
    readonly id: string;
    readonly version: string;
    readonly platform: string;
    readonly mode: string;
    readonly displayName?: string;
    readonly deviceFamily?: string;
  };
  readonly role?: string;
  readonly scopes?: readonly string[];
  readonly caps?: readonly string[];
  readonly auth?: { readonly token?: string; readonly password?: string; readonly deviceToken?: string };
  readonly device?: DeviceProof;
  readonly locale?: string;
  readonly userAgent?: string;
}

/** An Ed25519 key and what it signed; key and signature in base64url. */
export interface DeviceProof {
  readonly id: string;
  readonly publicKey: string;
  readonly signature: string;
  /** Milliseconds since the epoch. */
  readonly signedAt: number;
  readonly nonce: string;
}

/** A list is an enumeration; a key with `?` may be absent. */
type Kind = 'any' | 'string' | 'text' | 'texts' | 'integer' | 'object' | readonly string[] | Shape;
interface Shape {
  readonly [name: string]: Kind;
}

const CLIENT_IDS = [
  'webchat-ui',
  'openclaw-control-ui',
  'openclaw-tui',
  'webchat',
  'cli',
  'gateway-client',
  'openclaw-macos',
  'openclaw-ios',
  'openclaw-android',
  'node-host',
  'test',
  'fingerprint',
  'openclaw-probe',
];
const CLIENT_MODES = ['webchat', 'cli', 'ui', 'backend', 'node', 'probe', 'test'];

export const REQUEST: Shape = { type: ['req'], id: 'text', method: 'text', 'params?': 'any' };

export const CONNECT: Shape = {
  minProtocol: 'integer',
  maxProtocol: 'integer',
  client: {
    id: CLIENT_IDS,
    'displayName?': 'text',
    version: 'text',
    platform: 'text',
    'deviceFamily?': 'text',
    'modelIdentifier?': 'text',
    mode: CLIENT_MODES,
    'instanceId?': 'text',
  },
  'caps?': 'texts',
  'commands?': 'texts',
  'permissions?': 'object',
  'pathEnv?': 'string',
  'role?': 'text',
  'scopes?': 'texts',
  'device?': { id: 'text', publicKey: 'text', signature: 'text', signedAt: 'integer', nonce: 'text' },
  'auth?': { 'token?': 'string', 'bootstrapToken?': 'string', 'deviceToken?': 'string', 'password?': 'string' },
  'locale?': 'string',
  'userAgent?': 'string',
};

/**
 * @param all whether every missing and unexpected key is told, or the first of each
 * @returns what is wrong with the value, `undefined` when nothing is
 */
export function problemsOf(value: unknown, shape: Shape, all: boolean): string | undefined {
  const problems = objectProblems(value, shape, '', all);
  return problems.length > 0 ? problems.join('; ') : undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectProblems(value: unknown, shape: Shape, path: string, all: boolean): string[] {
  const where = path && `at ${path}: `;
  if (!isObject(value)) return [`${where}must be object`];
  const kinds = new Map(Object.entries(shape).map(([name, kind]) => [name.replace(/\?$/, ''), kind]));
  const some = (list: string[]): string[] => (all ? list : list.slice(0, 1));
  const missing = Object.keys(shape).filter((name) => !name.endsWith('?') && value[name] === undefined);
  const unexpected = Object.keys(value).filter((name) => !kinds.has(name));
  return [
    ...some(missing.map((name) => `${where}must have required property '${name}'`)),
    ...some(unexpected.map((name) => `at ${path || 'root'}: unexpected property '${name}'`)),
    ...[...kinds].flatMap(([name, kind]) =>
      value[name] === undefined ? [] : kindProblems(value[name], kind, `${path}/${name}`, all),
    ),
  ];
}

function kindProblems(value: unknown, kind: Kind, path: string, all: boolean): string[] {
  const must = (what: string): string[] => [`at ${path}: must ${what}`];
  switch (kind) {
    case 'any':
      return [];
    case 'object':
      return isObject(value) ? [] : must('be object');
    case 'integer':
      return Number.isInteger(value) ? [] : must('be integer');
    case 'string':
      return typeof value === 'string' ? [] : must('be string');
    case 'text':
      if (typeof value !== 'string') return must('be string');
      return value === '' ? must(`${all ? 'NOT' : 'not'} have fewer than 1 characters`) : [];
    case 'texts':
      if (!Array.isArray(value)) return must('be array');
      return value.flatMap((one, index) => kindProblems(one, 'text', `${path}/${index}`, all));
  }
  if (!Array.isArray(kind)) return objectProblems(value, kind as Shape, path, all);
  if (kind.includes(value)) return [];
  return must(kind.length === 1 ? 'be equal to constant' : 'be equal to one of the allowed values');
}
