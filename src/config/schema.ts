/**
 * The raw shape of `shim.config.yaml`: keys and types as they are written, before anything is resolved.
 * Rules that look at more than one value live with the section that they are about.
 */
import * as z from 'zod';
import { rawAudit } from './audit.ts';
import { rawIntrospection } from './introspection.ts';
import { rawIssuers } from './issuers.ts';
import { CALLER_HEADERS, SCOPES } from '../types.ts';
import { didYouMean } from './suggest.ts';
import { DURATION, SIZE } from './units.ts';

// Validators are not compiled at start: a configuration is checked once, and no code is made from text.
z.config({ jitless: true });

const choice = <const T extends readonly string[]>(what: string, values: T) =>
  z.enum(values, { error: ({ input }) => unknownWords(what, input, values) });

function unknownWords(what: string, input: unknown, values: readonly string[]): string {
  if (typeof input !== 'string') return `expected one of ${values.join(', ')}`;
  if (input.includes(',')) return `a comma in a ${what}: write one list item for each`;
  const hint = didYouMean(input, values);
  return `unknown ${what} ${JSON.stringify(input)}${hint === '' ? `; known: ${values.join(', ')}` : hint}`;
}

const text = (pattern: RegExp, words: string) => z.string(words).regex(pattern, words);

const PATH = 'expected the path of a file';
const filePath = z.string(PATH).min(1, PATH);

const REFERENCE =
  'expected a reference with exactly one key, such as { env: NAME } or { file: PATH }; the value itself is never written here';

const oneKey = (value: object) => Object.values(value).filter((entry) => entry !== undefined).length === 1;

const reference = z
  .strictObject(
    {
      env: text(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'expected the name of an environment variable').optional(),
      file: filePath.optional(),
      openclaw: z.string('expected the path of openclaw.json').min(1, 'expected the path of openclaw.json').optional(),
    },
    REFERENCE,
  )
  .refine(oneKey, REFERENCE);

const literalOrReference = z.union([z.string(), reference], 'expected a text, or a reference such as { env: NAME }');

const DURATION_WORDS = 'expected a duration such as 500ms, 15s, 2m or 1h, or 0';
const duration = z.union([z.literal(0), text(DURATION, DURATION_WORDS)], DURATION_WORDS);
const SIZE_WORDS = 'expected a size in bytes, or one such as 512KiB or 20MiB';
const size = z.union([z.int().positive(SIZE_WORDS), text(SIZE, SIZE_WORDS)], SIZE_WORDS);
const port = z
  .int('expected a port from 0 to 65535')
  .min(0, 'expected a port from 0 to 65535')
  .max(65_535, 'expected a port from 0 to 65535');

const fingerprint = text(
  /^sha256:(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31})$/,
  'expected "sha256:" and the SHA-256 of the certificate: 64 hex digits, with or without colons',
);

const SHORT_HEADERS = ['agent-id', 'session-key', 'model', 'message-channel'] as const;
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const DATE = 'expected a date such as 2027-01-31, or a time with its zone such as 2027-01-31T12:00:00Z';

export const CALLER_NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/;
export const CALLER_NAME_WORDS = 'expected a name of 1 to 128 of A-Z a-z 0-9 . _ @ -, beginning with a letter or digit';

const token = z.strictObject({
  hash: text(
    /^sha256:[0-9a-f]{64}$/,
    'expected "sha256:" and 64 lower-case hex digits. Never write a token here: hash it with "auth-shim token hash"',
  ),
  expires: z.string(DATE).optional(),
  notBefore: z.string(DATE).optional(),
});

const CERTIFICATE =
  'expected a certificate with exactly one key: { uri: … }, { dns: … } or { fingerprint: sha256:… }, as it stands in it';
const certificate = z
  .strictObject(
    {
      uri: text(
        /^(?=.{1,2048}$)[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+$/,
        'expected a whole URI such as spiffe://cluster/ns/app/sa/web, in visible ASCII without spaces',
      ).optional(),
      dns: z.string('expected a DNS name').optional(),
      fingerprint: fingerprint.optional(),
    },
    CERTIFICATE,
  )
  .refine(oneKey, CERTIFICATE);

const COUNT = 1_000_000_000;
const count = z
  .int('expected a count')
  .min(1, 'expected at least 1')
  .max(COUNT, `expected at most ${COUNT}`)
  .optional();
const callerLimits = z.strictObject({
  requestsPerMinute: count,
  burst: count,
  requestsPerDay: count,
  streams: count,
  sockets: count,
  body: size.optional(),
});

const METHOD_NAME = 'expected the name of a gateway method such as chat.send, or a family such as sessions.*';
const methods = z.array(text(/^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*(?:\.\*)?$/, METHOD_NAME));

const caller = z.strictObject({
  name: text(CALLER_NAME, CALLER_NAME_WORDS),
  tokens: z.array(token).max(2, 'at most two tokens: one in use, one to rotate to').optional(),
  certificates: z.array(certificate).optional(),
  onBehalf: z.boolean().optional(),
  scopes: z.array(choice('scope', SCOPES)).optional(),
  allowHeaders: z.array(choice('header', [...CALLER_HEADERS, ...SHORT_HEADERS])).optional(),
  onForbiddenHeader: choice('answer', ['drop', 'refuse']).optional(),
  agent: text(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'expected an agent id of 1 to 64 of a-z 0-9 _ -').optional(),
  sessionPrefix: text(
    /^(?=.{2,127}$)[a-z0-9][a-z0-9._:@-]*[:\-_.]$/,
    'expected 2 to 127 of a-z 0-9 . _ : @ -, beginning with a letter or digit and ending with one of : - _ .',
  ).optional(),
  tools: z
    .array(text(/^[A-Za-z0-9._:-]{1,128}$/, 'expected the name of a tool: 1 to 128 of A-Z a-z 0-9 . _ : -'))
    .optional(),
  from: z.array(z.string()).min(1, 'an empty list would let nobody in: leave the key out').optional(),
  websocket: choice('mode', ['off', 'relay', 'tunnel']).optional(),
  unsafeTunnel: z.boolean().optional(),
  allowMethods: methods.optional(),
  denyMethods: methods.optional(),
  limits: callerLimits.optional(),
  unsafeReportOnly: z.strictObject({ until: z.string(DATE) }).optional(),
});

const route = z.strictObject({
  method: choice('method', METHODS),
  path: z.string(),
  scope: choice('scope', SCOPES).optional(),
  body: size.optional(),
  hooksToken: reference.optional(),
  expose: z.literal(false, 'only "expose: false" has a meaning: it closes a default route').optional(),
});

const listenTls = z.strictObject({
  cert: filePath,
  key: filePath,
  minVersion: z.literal(['1.2', '1.3', 1.2, 1.3], 'expected 1.2 or 1.3').optional(),
  clientCa: filePath.optional(),
  clientAuth: choice('answer', ['require', 'accept']).optional(),
  recheck: text(DURATION, 'expected a duration such as 60s').optional(),
});

const gatewayTls = z.strictObject({
  ca: filePath.optional(),
  cert: filePath.optional(),
  key: filePath.optional(),
  serverName: z.string().optional(),
  fingerprint: fingerprint.optional(),
});

const MODE = 'expected permission bits in quotes, such as "0660": without them YAML reads the decimal number 660';

const listen = z.strictObject({
  host: z.string().optional(),
  port: port.optional(),
  socket: z.string().min(1, 'expected the path of a unix socket').optional(),
  mode: text(/^0?[0-7]{3}$/, MODE).optional(),
  tls: listenTls.optional(),
  credentials: choice('answer', ['all', 'bearer']).optional(),
  hosts: z.array(z.string()).optional(),
  origins: z.array(z.string()).optional(),
  health: z.boolean().optional(),
  trustedProxies: z.array(z.string()).optional(),
  unsafeListenPlaintext: z.boolean().optional(),
  resourceMetadata: z.union([z.boolean(), z.string()], 'expected true, or the origin that clients call').optional(),
  websocket: z
    .strictObject({ firstFrameToken: z.boolean().optional(), subprotocolToken: z.boolean().optional() })
    .optional(),
});

const gatewayAuth = z.strictObject({
  mode: choice('mode', ['token', 'password', 'trusted-proxy', 'none', 'shim']),
  secret: reference.optional(),
  password: reference.optional(),
  userHeader: literalOrReference.optional(),
  requiredHeaders: z
    .union(
      [
        z.record(z.string(), literalOrReference),
        z.array(z.strictObject({ name: literalOrReference, value: literalOrReference })),
      ],
      'expected a map of header names to values, or a list of { name, value }',
    )
    .optional(),
  clientAddress: z.string().optional(),
});

const admin = z.strictObject({
  host: z.string().optional(),
  port: port.optional(),
  socket: z.string().min(1, 'expected the path of a unix socket').optional(),
  mode: text(/^0?[0-7]{3}$/, MODE).optional(),
  tls: z.strictObject({ cert: filePath, key: filePath, clientCa: filePath.optional() }).optional(),
  token: reference.optional(),
  hosts: z.array(z.string()).optional(),
  unsafeListenPlaintext: z.boolean().optional(),
});
const address = z.strictObject({ host: z.string().optional(), port: port.optional() });
const callers = z.array(caller);

/** What `callersFile` holds. */
export const rawCallersFile = z.strictObject({ callers: callers.optional() });

const DEVICE_STORE = 'expected memory, or the path of a folder';
const STORE = 'expected memory, or { redis: URL }, where the URL may be a reference such as { env: NAME }';

/** The whole file. */
export const rawConfig = z.strictObject({
  listen: listen.optional(),
  gateway: z.strictObject({
    url: z.string(),
    auth: gatewayAuth,
    tls: gatewayTls.optional(),
    deviceStore: z.string(DEVICE_STORE).min(1, DEVICE_STORE).optional(),
  }),
  callers: callers.optional(),
  callersFile: filePath.optional(),
  issuers: rawIssuers(caller, reference).optional(),
  introspection: rawIntrospection(caller, reference).optional(),
  routes: z.array(route).optional(),
  limits: z
    .strictObject({
      body: size.optional(),
      headerBytes: size.optional(),
      connections: z
        .int('expected a count')
        .min(1, 'expected at least 1')
        .max(1_000_000, 'expected at most 1000000')
        .optional(),
      default: callerLimits.optional(),
      store: z.union([z.literal('memory'), z.strictObject({ redis: literalOrReference })], STORE).optional(),
      onStoreFailure: choice('answer', ['local', 'refuse']).optional(),
    })
    .optional(),
  stream: z
    .strictObject({
      heartbeat: duration.optional(),
      gatewayIdle: duration.optional(),
      endAtExpiry: z.boolean().optional(),
    })
    .optional(),
  drain: z.strictObject({ delay: duration.optional(), timeout: duration.optional() }).optional(),
  audit: rawAudit.optional(),
  admin: admin.optional(),
  probes: address.optional(),
  control: z.strictObject({ socket: z.string().min(1, 'expected the path of a unix socket') }).optional(),
});

export type RawConfig = z.infer<typeof rawConfig>;
export type RawCallersFile = z.infer<typeof rawCallersFile>;
export type Reference = z.infer<typeof reference>;
